"""The control center, `keiji-tui`."""
