"""Runs this task manually from its sources: python main.py --run. With --schedule, prints when it is due.

The engine does not use this file: it runs the build of the task.
"""

import sys
from pathlib import Path

from keiji_engine.builds.run_local import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).parent))
