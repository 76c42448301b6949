"""What is run to calibrate a device: kernels of one kind a file, and whole decoders."""
