"""When this task runs."""

from keiji import Policy, Retry, every, on
from keiji.schedule import Schedule


def schedule() -> Schedule:
    """Return when the function is due."""
    return every(10).seconds

    # every(5).minutes and every(2).hours work the same way.
    # A day of the week and a time, as 12 or 24 hours:
    #
    # return on.friday.at("10:00PM")


# What happens around each run; without it there is no time limit and no retry:
#
# policy = Policy(timeout=30, retry=Retry(tries=3, delay=1, backoff=2))
