"""The schedule and the policy of this task."""

from keiji import Policy, Retry, at_start, cron, every, manual, on, on_change, once
from keiji.schedule import Schedule


def schedule() -> Schedule | list[Schedule]:
    """Return the schedule of the function."""
    return manual

    # manual: only when you start it (keiji task run). Common schedules, in the zone TIME_ZONE of settings.conf:
    #
    # return every(10).seconds
    # return on.friday.at("10:00PM")
    # return on.weekdays.at("6:00", "18:00")
    # return cron("*/5 9-17 * * mon-fri")
    # return once("2027-01-01 00:00")
    # return at_start
    # return on_change("/data/in/*.csv")
    # return [every(1).hours, on.friday.at("22:00"), at_start]


# Options for each run. By default, an occurrence that is due during a run is skipped, only the latest missed occurrence
# runs after downtime, and there is no time limit and no retry:
#
# policy = Policy(timeout=30, retry=Retry(tries=3, delay=1, backoff=2), overlap="queue", catch_up="none")
