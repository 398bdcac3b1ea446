"""The layer debugger: what an image's layers show, from their indexes alone."""
