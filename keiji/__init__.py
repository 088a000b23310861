"""keiji (計時): the API for task authors.

Every task imports this package, so it depends on the standard library only.
"""

from keiji.policy import Policy, Retry
from keiji.progress import progress
from keiji.run_context import CurrentRun, current_run
from keiji.schedule import at_start, cron, every, manual, on, on_change, once

__all__ = [
    "CurrentRun",
    "Policy",
    "Retry",
    "at_start",
    "cron",
    "current_run",
    "every",
    "manual",
    "on",
    "on_change",
    "once",
    "progress",
]
__version__ = "0.1.0"
