"""Load on a device: the passes that a serving engine runs, one after the other."""
