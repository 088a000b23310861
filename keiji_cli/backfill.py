"""``keiji task backfill``: run past instants of a task's schedule, and control such backfills."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from keiji.errors import EngineOffline, KeijiError, UsageError
from keiji.names import slug_of
from keiji.reasons import Code, render
from keiji.states import BackfillState
from keiji_cli import client, json_output, output
from keiji_cli.arguments import parse_assignments
from keiji_cli.groups import RestCommand
from keiji_cli.table import Column, Width, format_table, output_width

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from keiji.paths import Paths
    from keiji_engine.bus.views import BackfillInstant, BackfillView

_POLL_INTERVAL = 0.5  # seconds
_COLUMNS = (
    Column("ID"), Column("TASK"), Column("STATE"), Column("PROGRESS"), Column("FAILED"), Column("FROM"),
    Column("TO", rank=3), Column("PARALLEL", rank=5), Column("BY", rank=6), Column("WAITING FOR", min_width=20, rank=2),
)  # fmt: skip


@click.command(cls=RestCommand, rest_metavar="NAME=VALUE…")
@click.argument("name", required=False)
@click.option("--from", "begin", metavar="TIME", help='First day or time: 2026-11-01, "2026-11-01 06:00".')
@click.option("--to", "end", metavar="TIME", help="Last day or time, inclusive.")
@click.option("--parallel", type=int, metavar="N", help="Maximum number of runs at a time.  [default: 1]")
@click.option("--again", is_flag=True, help="Also run instants that have succeeded.")
@click.option("--dry-run", is_flag=True, help="Only show what would run.")
@click.option("--wait", is_flag=True, help="Wait until it is done and show its progress.")
@click.option("--list", "as_list", is_flag=True, help="List the backfills of the task, or of all tasks.")
@click.option("--stop", "stop", type=int, metavar="ID", help="Stop a backfill; a live run continues.")
@click.option("--resume", "resume", type=int, metavar="ID", help="Continue a stopped backfill.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print JSON, a list of objects.")
def backfill(
    name: str | None,
    *,
    begin: str | None,
    end: str | None,
    parallel: int | None,
    again: bool,
    dry_run: bool,
    wait: bool,
    as_list: bool,
    stop: int | None,
    resume: int | None,
    as_json: bool,
    rest: tuple[str, ...] | None,
) -> None:
    """Run each past instant of a task's schedule in a range.

    Instants that have succeeded are skipped. Without a UTC offset, times are in the time zone of the schedule. The
    schedule continues beside the backfill, and its occurrences go first. Parameters of the task come after --.
    """
    paths = client.require_workspace()
    creates = {"--from": begin, "--to": end, "--parallel": parallel, "--again": again, "--dry-run": dry_run, "--": rest}
    controls = {"--list": as_list, "--stop": stop is not None, "--resume": resume is not None}
    chosen = [option for option, is_given in controls.items() if is_given]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} exclude each other", hint="run one after the other")
    if chosen:
        extra = [option for option, value in creates.items() if value not in (None, False)]
        extra += ["--wait"] if wait and chosen != ["--resume"] else []
        if extra:
            raise UsageError(f"{extra[0]} has no meaning with {chosen[0]}", hint="leave it out")
    if as_json and not as_list:
        raise UsageError("--json requires --list", hint="keiji task backfill --list --json")
    if as_list:
        _show_list(paths, name, as_json=as_json)
    elif stop is not None:
        _stop(paths, stop, name)
    elif resume is not None:
        _resume(paths, resume, name)
        if wait:
            _wait(paths, resume)
    else:
        _create(paths, name, begin, end, parallel=parallel, again=again, dry_run=dry_run, wait=wait, words=rest or ())


def _create(
    paths: Paths,
    name: str | None,
    begin: str | None,
    end: str | None,
    *,
    parallel: int | None,
    again: bool,
    dry_run: bool,
    wait: bool,
    words: tuple[str, ...],
) -> None:
    from keiji_engine.bus.protocol import BackfillTask, GetBackfills, PlanBackfill

    missing = [each for each, value in (("NAME", name), ("--from", begin), ("--to", end)) if value is None]
    if missing or name is None or begin is None or end is None:
        raise UsageError(
            f"{missing[0]} is missing",
            hint="keiji task backfill NAME --from 2026-11-01 --to 2026-11-07; or --list, --stop ID, --resume ID",
        )
    if dry_run:
        plan = client.ask(paths, PlanBackfill(task=name, begin=begin, end=end))
        click.echo(_format_plan(plan.instants, ZoneInfo(plan.zone), again=again, width=output_width()))
        if plan.note:
            click.echo(plan.note, err=True)
        return
    request = BackfillTask(
        task=name,
        begin=begin,
        end=end,
        parallel=1 if parallel is None else parallel,
        again=again,
        params=parse_assignments(words, "a parameter", f"keiji task backfill {slug_of(name)} … -- region=eu"),
    )
    output.print_progress(*client.execute(paths, request))
    if wait:
        slug = client.get_tasks(paths, name)[0].slug
        _wait(paths, client.ask(paths, GetBackfills(task=slug, limit=1)).backfills[0].id)


def _show_list(paths: Paths, name: str | None, *, as_json: bool) -> None:
    from keiji_engine.bus.protocol import GetBackfills

    zone = client.display_zone(paths)
    found = client.ask(paths, GetBackfills(task=name)).backfills
    if as_json:
        click.echo(json_output.format_backfills(found, zone))
    elif found:
        click.echo(format_backfills_table(found, zone, output_width()))
    else:
        click.echo("there are no backfills\nkeiji task backfill NAME --from 2026-11-01 --to 2026-11-07", err=True)


def _stop(paths: Paths, number: int, name: str | None) -> None:
    from keiji_engine.bus.protocol import StopBackfill

    task = _task_of(paths, number, name)
    output.print_progress(*client.execute(paths, StopBackfill(task=task, backfill=number)))


def _resume(paths: Paths, number: int, name: str | None) -> None:
    from keiji_engine.bus.protocol import ResumeBackfill

    task = _task_of(paths, number, name)
    output.print_progress(*client.execute(paths, ResumeBackfill(task=task, backfill=number)))


def _task_of(paths: Paths, number: int, name: str | None) -> str:
    return name if name is not None else _get(paths, number).task


def _get(paths: Paths, number: int) -> BackfillView:
    from keiji_engine.bus.protocol import GetBackfills

    return client.ask(paths, GetBackfills(backfill=number)).backfills[0]


def _wait(paths: Paths, number: int) -> None:
    """Show the progress of a backfill until it has ended.

    Raises:
        EngineOffline: no engine is running.
        KeijiError: an instant failed, or the backfill was stopped.
    """
    shows_line, shown = sys.stdout.isatty(), ""
    while True:
        view = _get(paths, number)
        if (
            view.state is BackfillState.RUNNING
            and view.waiting is not None
            and view.waiting.code == Code.ENGINE_OFFLINE
        ):
            raise EngineOffline(f"backfill {number} waits for the engine, which is not running")
        line = describe(view, client.display_zone(paths))
        if line != shown:
            click.echo(f"\r{line:<{len(shown)}}" if shows_line else line, nl=not shows_line)
            shown = line
        if view.state is not BackfillState.RUNNING and not view.open:
            break
        time.sleep(_POLL_INTERVAL)
    if shows_line:
        click.echo()
    if view.state is BackfillState.STOPPED:
        raise KeijiError(f"backfill {number} was stopped", hint=f"keiji task backfill --resume {number} continues it")
    if view.failed:
        raise KeijiError(
            f"{view.failed} of {view.total} instants failed",
            hint=f"keiji task runs {view.task} shows why; the same backfill runs only those that have not succeeded",
        )


def describe(view: BackfillView, zone: tzinfo) -> str:
    """Return the progress of a backfill: "3 of 7: 2 succeeded, 1 failed, 1 in progress"."""
    waiting = f" ({render(view.waiting, zone)})" if view.waiting is not None else ""
    return view.progress() + waiting


def format_backfills_table(backfills: Sequence[BackfillView], zone: tzinfo, width: Width) -> str:
    """Return a table with one row per backfill. The range is in the time zone of the schedule."""
    rows = [
        (
            str(view.id),
            view.task,
            view.state.upper(),
            f"{view.done}/{view.total}",
            str(view.failed or ""),
            f"{view.first.astimezone(ZoneInfo(view.zone)):%Y-%m-%d %H:%M %Z}",
            f"{view.last.astimezone(ZoneInfo(view.zone)):%Y-%m-%d %H:%M %Z}",
            str(view.parallel),
            view.created_by,
            render(view.waiting, zone),
        )
        for view in backfills
    ]
    return format_table(_COLUMNS, rows, width)


def _format_plan(instants: Sequence[BackfillInstant], zone: ZoneInfo, *, again: bool, width: Width) -> str:
    rows = [
        (
            f"{instant.at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}",
            "skipped: has succeeded" if instant.has_succeeded and not again else "runs",
        )
        for instant in instants
    ]
    skipped = sum(instant.has_succeeded and not again for instant in instants)
    table = format_table((Column("DUE"), Column("")), rows, width)
    return f"{table}\n{len(instants) - skipped} of {len(instants)} instants would run"
