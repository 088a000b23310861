"""``keiji when``: describe a schedule and list its next instants, without a task, an engine or a workspace."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import click

from keiji.errors import InvalidSchedule, KeijiError, UsageError
from keiji_cli.groups import Command

_EVENTS = {
    "Manual": "it runs only when you start it: keiji task run NAME",
    "AtStart": "it runs once after each start of the machine or container",
    "OnChange": "it runs after each change of these files",
}


@click.command(cls=Command)
@click.argument("schedule", nargs=-1, required=True)
@click.option("-n", "--count", default=10, show_default=True, type=click.IntRange(0, 1000), help="Number of instants.")
@click.option("--from", "after", metavar="TIME", help='Start at this time, not now: "2027-03-28 01:00".')
@click.option("--zone", metavar="ZONE", help="Time zone; by default that of the workspace, or of this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: an object.")
def when(schedule: tuple[str, ...], count: int, after: str | None, zone: str | None, *, as_json: bool) -> None:
    """Describe a schedule and list its next instants.

    SCHEDULE is a crontab line, plain English, or an expression as in schedule.py. No task is needed. Intervals count
    from now, or from the time of --from.

    \b
    keiji when "0 9 1-7 * 1"
    keiji when "last day of the month at 22:00" --zone Europe/Berlin
    """
    from keiji.schedule import ScheduleContext
    from keiji.schedule.parse import parse_schedule
    from keiji_cli import json_output, output
    from keiji_cli.table import output_width
    from keiji_engine.bus.views import DueInstant

    parsed = parse_schedule(" ".join(schedule))
    place = find_zone(zone)
    start = parse_time(after, place, "--from") if after is not None else datetime.now(UTC)
    anchored = parsed.with_context(ScheduleContext(anchor=start, zone=place.key))
    instants = [
        DueInstant(task="", at=each.at, starts_at=each.at, note=each.note, is_skipped=each.is_skipped)
        for each in islice(anchored.preview(start), count)
    ]
    if as_json:
        click.echo(json_output.format_when(parsed, instants, place))
        return
    click.echo(f"{parsed.describe()}\n{parsed.source_form()}, in {place.key}")
    for event in parsed.events:
        click.echo(f"{event.describe()}: {_EVENTS[event.type]}")
    if instants:
        click.echo()
        click.echo(output.format_upcoming_table(instants, place, datetime.now(UTC), output_width()))
    elif count and parsed.has_instants:
        click.echo(f"it is never due {'after that time' if after is not None else 'again'}", err=True)


def find_zone(name: str | None) -> ZoneInfo:
    """Return the zone called ``name``; by default that of the workspace, or of this machine if there is none.

    Raises:
        UsageError: there is no such zone.
    """
    from keiji.local_zone import find_local_zone
    from keiji.settings import load, parse_zone
    from keiji_cli import client

    if name is not None:
        try:
            return ZoneInfo(parse_zone(name))
        except ValueError as error:
            raise UsageError(f"--zone {name!r}: expected {error}") from error
    try:
        return load(client.current_paths().settings).zone
    except KeijiError:
        return ZoneInfo(find_local_zone().name)


def parse_time(text: str, zone: ZoneInfo, option: str) -> datetime:
    """Return a time that the user entered as ``option``; without a UTC offset it is in ``zone``. Raises UsageError."""
    from keiji.schedule.once import parse_moment
    from keiji.schedule.walltime import instant_of

    try:
        time = parse_moment(text, option)
    except InvalidSchedule as error:
        hint = 'for example "2027-03-28", "2027-03-28 01:00" or "2027-03-28T01:00+02:00"'
        raise UsageError(error.message, hint=hint) from error
    return time if time.tzinfo is not None else instant_of(time, zone)
