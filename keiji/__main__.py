"""``python -m keiji``: the command line, for a Python whose scripts are not in PATH."""

from keiji_cli.main import main

main()
