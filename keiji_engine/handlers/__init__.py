"""Handlers of requests: one module per directive or query."""
