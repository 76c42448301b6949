"""From work to seconds: kernel laws, collectives, the host, one forward pass, one request."""
