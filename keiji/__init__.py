"""keiji (計時): what a task's author imports.

Every task imports this package, so it reaches the standard library only.
"""

from keiji.policy import Policy, Retry
from keiji.progress import progress
from keiji.schedule import cron, every, on, once

__all__ = ["Policy", "Retry", "cron", "every", "on", "once", "progress"]
__version__ = "0.1.0"
