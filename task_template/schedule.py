"""The schedule and the policy of this task."""

from keiji import Policy, Retry, cron, every, on, once
from keiji.schedule import Schedule


def schedule() -> Schedule:
    """Return the schedule of the function."""
    return every(10).seconds

    # Also .minutes, .hours, .days and .weeks. Other schedules, in the zone TIME_ZONE of settings.conf:
    #
    # return on.friday.at("10:00PM")
    # return on.weekdays.at("6:00", "18:00")
    # return cron("*/5 9-17 * * mon-fri")
    # return once("2027-01-01 00:00")


# Options for each run. By default, an occurrence that is due during a run is skipped, only the latest missed occurrence
# runs after downtime, and there is no time limit and no retry:
#
# policy = Policy(timeout=30, retry=Retry(tries=3, delay=1, backoff=2), overlap="queue", catch_up="none")
