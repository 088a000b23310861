"""The demo as text: one line per event, for a limited time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import tzinfo

import click

from keiji import settings
from keiji.formats import format_measurement
from keiji.paths import Paths
from keiji.reasons import describe_result
from keiji.records import Run
from keiji.states import RunState
from keiji_cli import output
from keiji_cli.table import Column, format_table, output_width
from keiji_engine.bus import protocol as p
from keiji_engine.bus.client import Client
from keiji_engine.bus.views import LinkChanged
from keiji_engine.logs.line_format import parse_line

_MAX_LINES_PER_CHUNK = 3
_NAME_WIDTH = 16

_COLUMNS = (Column("NAME"), Column("STATE"), Column("SCHEDULE", min_width=20), Column("NEXT"))
_PrintEvent = Callable[[str, str], None]


def show_events(paths: Paths, seconds: float) -> None:
    """Print the tasks, then one line per event and line of output, for ``seconds``."""
    asyncio.run(_show_events(paths, seconds))


async def _show_events(paths: Paths, seconds: float) -> None:
    async with Client(paths, "keiji demo") as client:
        snapshot = await client.ask(p.GetSnapshot())
        zone = settings.load(paths.settings).zone
        rows = [
            (task.name, "disabled" if task.is_disabled else "enabled", task.schedule_description,
             output.format_time(task.next_execution_time, zone))
            for task in snapshot.tasks
        ]  # fmt: skip
        click.echo(format_table(_COLUMNS, rows, output_width()))
        click.echo(output.format_services_table((service.name, service.status) for service in snapshot.services))
        names = {task.slug: task.name for task in snapshot.tasks}
        start = time.monotonic()

        def print_event(task: str, text: str) -> None:
            click.echo(f"{time.monotonic() - start:6.2f}s  {names.get(task, task):<{_NAME_WIDTH}}  {text}")

        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                group.create_task(_show_runs(client, zone, print_event))
                for task in names:
                    group.create_task(_show_output(client, task, print_event))
        except TimeoutError:
            pass  # the requested time has passed


async def _show_runs(client: Client, zone: tzinfo, print_event: _PrintEvent) -> None:
    async for update in client.watch():
        if isinstance(update, LinkChanged):
            print_event("", f"link {update.state} {update.reason}".rstrip())
        elif isinstance(update, p.Delta) and isinstance(update.event, p.RunChanged):
            print_event(update.event.run.task, _describe_run(update.event.run, zone))


def _describe_run(run: Run, zone: tzinfo) -> str:
    if run.state == RunState.RUNNING:
        return "▶ running" + (f", attempt {run.attempt}" if run.attempt > 1 else "")
    duration = format_measurement(run.seconds) if run.seconds is not None else ""
    mark = "✓" if run.state == RunState.SUCCEEDED else "·"
    return f"{mark} {describe_result(run.state, run.reason, zone, duration=duration)}"


async def _show_output(client: Client, task: str, print_event: _PrintEvent) -> None:
    async for chunk in client.follow(task, lines=0):
        lines = [parse_line(line).msg for line in chunk.text.encode().splitlines()]
        for line in lines[:_MAX_LINES_PER_CHUNK]:
            print_event(task, f"  {line}")
        if len(lines) > _MAX_LINES_PER_CHUNK:
            print_event(task, f"  … and {len(lines) - _MAX_LINES_PER_CHUNK} more lines")
