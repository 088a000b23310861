"""The command line, `keiji`."""
