"""The commands, one file a verb: read arguments, call one function, print what it returns."""
