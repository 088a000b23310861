"""The way from the terminal to an engine."""
