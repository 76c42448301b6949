"""Many questions at once: compare, sweep, solve, sensitivity, explain."""
