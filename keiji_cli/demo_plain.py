"""The demo where there is no terminal: a line for each event, for some seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import click

from keiji import settings
from keiji.paths import Paths
from keiji.records import Run
from keiji.states import RunState
from keiji_cli import output
from keiji_engine.bus import protocol as p
from keiji_engine.bus.client import Client
from keiji_engine.bus.views import LinkChanged
from keiji_engine.logs.line_format import parse_line

_LINES_AT_ONCE = 3
_NAME_WIDTH = 16


def show(paths: Paths, seconds: float) -> None:
    """Print the table of tasks, then a line for each event and each line of output, for ``seconds``."""
    asyncio.run(_show(paths, seconds))


async def _show(paths: Paths, seconds: float) -> None:
    async with Client(paths, "keiji demo") as client:
        snapshot = await client.ask(p.GetSnapshot())
        zone = settings.load(paths.settings).zone
        rows = [
            (task.name, "disabled" if task.is_disabled else "enabled", task.schedule_description,
             output.moment(task.next_execution_time, zone))
            for task in snapshot.tasks
        ]  # fmt: skip
        click.echo(output.table(("NAME", "STATE", "SCHEDULE", "NEXT"), rows))
        click.echo(output.services_table((service.name, service.status) for service in snapshot.services))
        names = {task.slug: task.name for task in snapshot.tasks}
        began = time.monotonic()

        def tell(task: str, text: str) -> None:
            click.echo(f"{time.monotonic() - began:6.2f} s  {names.get(task, task):<{_NAME_WIDTH}}  {text}")

        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                group.create_task(_runs(client, tell))
                for task in names:
                    group.create_task(_output(client, task, tell))
        except TimeoutError:
            pass  # the time is over, as was asked


async def _runs(client: Client, tell: Callable[[str, str], None]) -> None:
    async for update in client.watch():
        if isinstance(update, LinkChanged):
            tell("", f"link {update.state} {update.reason}".rstrip())
        elif isinstance(update, p.Delta) and isinstance(update.event, p.RunChanged):
            tell(update.event.run.task, _described(update.event.run))


def _described(run: Run) -> str:
    if run.state == RunState.RUNNING:
        again = f", attempt {run.attempt}" if run.attempt > 1 else ""
        return f"▶ running{again}"
    took = f" after {run.seconds:.2f} s" if run.seconds is not None else ""
    because = f": {run.reason}" if run.reason else ""
    return f"{'✓' if run.state == RunState.SUCCEEDED else '·'} {run.state}{took}{because}"


async def _output(client: Client, task: str, tell: Callable[[str, str], None]) -> None:
    async for piece in client.follow(task, lines=0):
        lines = [parse_line(line).msg for line in piece.text.encode().splitlines()]
        for line in lines[:_LINES_AT_ONCE]:
            tell(task, f"  {line}")
        if len(lines) > _LINES_AT_ONCE:
            tell(task, f"  … and {len(lines) - _LINES_AT_ONCE} lines more")
