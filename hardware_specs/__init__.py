"""Data sheets, one YAML file a device. Facts with their sources; no code."""
