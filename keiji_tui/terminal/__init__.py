"""The terminal device: what is written to it, its signals, and its clipboard."""
