"""The commands that measure and fit, one file a verb: read arguments, call one function, print what it returns."""
