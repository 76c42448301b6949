"""What a question is made of: an architecture, a device, a software stack, a layout and a request."""
