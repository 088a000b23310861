"""Scheduling decisions. Pure: no input or output, no storage."""
