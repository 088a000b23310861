"""Runs this task by hand, from its sources: python main.py --run, or --schedule to see when it is due.

The engine never uses this file: it runs the task's build.
"""

import sys
from pathlib import Path

from keiji_engine.builds.run_local import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).parent))
