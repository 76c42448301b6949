"""Any Hugging Face ``config.json`` as an architecture, from a file or from the hub."""
