"""Run ``python -m keiji_tui`` as ``keiji-tui``, for programs that start it with their own interpreter."""

import sys

from keiji_tui.cli import main

if __name__ == "__main__":
    sys.exit(main())
