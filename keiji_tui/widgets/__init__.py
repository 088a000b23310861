"""Widgets, and content of widgets."""
