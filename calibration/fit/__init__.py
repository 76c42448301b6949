"""Rows of measurements -> the factors of a profile, and the check of predictions against measurements."""
