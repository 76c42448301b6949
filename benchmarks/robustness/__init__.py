"""Inputs, flags and kills that a careless or hostile world sends, and what must hold of every answer."""
