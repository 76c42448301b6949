"""What people compare: one registry of metrics, and what they are made of."""
