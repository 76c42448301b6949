"""The analysis of the paper: idealized runtimes of query sets, trade-offs, HELM, and published numbers reproduced."""
