"""When this task runs."""

from keiji import Policy, Retry, cron, every, on, once
from keiji.schedule import Schedule


def schedule() -> Schedule:
    """Return when the function is due."""
    return every(10).seconds

    # minutes, hours, days and weeks work the same way. Others, by the clocks of TIME_ZONE:
    #
    # return on.friday.at("10:00PM")
    # return on.weekdays.at("6:00", "18:00")
    # return cron("*/5 9-17 * * mon-fri")
    # return once("2027-01-01 00:00")


# What happens around each run; without it, what is due while a run goes on is skipped, of what was missed the latest
# runs, and there is neither a time limit nor a retry:
#
# policy = Policy(timeout=30, retry=Retry(tries=3, delay=1, backoff=2), overlap="queue", catch_up="none")
