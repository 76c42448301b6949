"""The work itself, with no hardware in it: FLOPs, bytes and messages of one forward pass."""
