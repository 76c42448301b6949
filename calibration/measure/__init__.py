"""The device in front: benchmarks of each kind, and what times and watches them."""
