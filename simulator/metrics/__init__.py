"""What people compare: utilisation today, idealized runtime, cost and energy on top of it."""
