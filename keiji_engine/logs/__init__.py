"""Logs: the line format, the writer, the service logs and tailing for the bus."""
