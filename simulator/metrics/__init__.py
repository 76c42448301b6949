"""What people compare: how much of a device a request uses."""
