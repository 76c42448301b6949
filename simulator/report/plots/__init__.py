"""Pictures, one file a kind: what is drawn, as numbers; the figure; and the same in plain characters."""
