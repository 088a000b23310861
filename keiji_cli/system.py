"""``keiji system``: start, stop and look after the engine and its services."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from keiji import engine_process
from keiji.engine_process import SERVICES
from keiji.errors import KeijiError, UsageError
from keiji.paths import Paths
from keiji_cli import as_json, client, logs, output, services
from keiji_cli.groups import Kind

_LOGGED = (*SERVICES, "repo", "engine")


def _of(names: Sequence[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command a flag and a word for each of ``names``; it takes those chosen as ``chosen``."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def gathered(words: tuple[str, ...], **values: Any) -> Any:
            flags = [name for name in names if values.pop(name)]
            return command(chosen=tuple(dict.fromkeys([*words, *flags])), **values)

        wrapped: Callable[..., Any] = gathered
        for name in reversed(names):
            wrapped = click.option(f"--{name}", is_flag=True, help=f"The {name} alone.")(wrapped)
        return click.argument("words", nargs=-1, metavar="[SERVICE]...", type=click.Choice(names))(wrapped)

    return decorated


@click.group(cls=Kind)
def system() -> None:
    """Start, stop and look after the engine and its services."""


@system.command()
@_of(SERVICES)
def start(chosen: tuple[str, ...]) -> None:
    """Start the engine in the background, or services of it that are stopped."""
    paths = client.workspace()
    if engine_process.is_running(paths):
        _start_in_engine(paths, chosen)
    else:
        output.progress(f"service started with pid {services.start_engine(paths, chosen)}")
    _say_who_is_online(paths)


def _start_in_engine(paths: Paths, chosen: Sequence[str]) -> None:
    from keiji_engine.bus.protocol import StartService

    stopped = services.down(paths, chosen or SERVICES)
    if not stopped:
        output.progress("service already running")
    elif services.down(paths, ["bus"]):
        # Nothing can be asked of an engine without its bus, but a signal gets through.
        services.start_all_in_engine(paths)
        output.progress("the bus was down: everything that was stopped has been started")
    else:
        for name in stopped:
            output.progress(*client.carry_out(paths, StartService(service=name)))


def _say_who_is_online(paths: Paths) -> None:
    note = engine_process.read_info(paths)
    down = services.down(paths)
    online = [name for name in SERVICES if name not in down]
    output.progress(f"engine {note.pid if note else ''}: {', '.join(online) or 'no service'} online")
    if down:
        wanted = " ".join(f"--{name}" for name in down)
        output.progress(f"not running: {', '.join(down)}; keiji system start {wanted} starts them")


@system.command()
@_of(SERVICES)
@click.option("--force", is_flag=True, help="End an engine that does not answer. Its runs go on even so.")
def stop(chosen: tuple[str, ...], *, force: bool) -> None:
    """Stop the engine, or some of its services. Live runs go on; the next engine adopts them."""
    paths = client.paths()
    if chosen:
        for name in services.bus_last(chosen):
            output.progress(*services.stop_service(paths, name))
    elif engine_process.is_running(paths):
        _end(paths, force=force)
    else:
        output.progress("no engine is running, nothing to stop")


def _end(paths: Paths, *, force: bool = False) -> None:
    pid = services.kill_engine(paths) if force else services.end_engine(paths)
    output.progress(f"engine {pid} stopped")
    live = services.live_runs(paths)
    if live:
        output.progress(f"{live} live {'run goes' if live == 1 else 'runs go'} on, and the next engine adopts them")


@system.command()
@_of(SERVICES)
def restart(chosen: tuple[str, ...]) -> None:
    """Stop and start the engine, or some of its services. Live runs go on."""
    paths = client.workspace()
    if chosen:
        for name in services.bus_last(chosen):
            output.progress(*services.restart_service(paths, name))
        return
    if engine_process.is_running(paths):
        _end(paths)
    output.progress(f"service started with pid {services.start_engine(paths)}")
    _say_who_is_online(paths)


@system.command()
@click.option("--json", "for_programs", is_flag=True, help="Print an object.")
def status(*, for_programs: bool) -> None:
    """Show how the services do."""
    paths = client.workspace()
    found = services.statuses(paths)
    note = engine_process.read_info(paths) if engine_process.is_running(paths) else None
    is_well, pause = services.answer(paths) if note is not None else (True, None)
    if not is_well:
        found = [service | {"status": "stale"} for service in found]
    now = datetime.now(UTC)
    zone = client.settings(paths).zone
    if for_programs:
        click.echo(as_json.status(note, found, zone, now, pause))
    else:
        _say_status(paths, note, found, now)
        if pause is not None:
            click.echo(output.whole_pause(pause, zone))
    if note is not None and not is_well:
        raise KeijiError(
            f"the engine (pid {note.pid}) does not answer: it is stopped, or it hangs",
            hint="keiji system stop --force ends it; what runs goes on",
        )


def _say_status(
    paths: Paths, note: engine_process.EngineInfo | None, found: list[dict[str, Any]], now: datetime
) -> None:
    click.echo(output.services_table((service["name"], service["status"]) for service in found))
    for service in found:
        if service["detail"]:
            click.echo(f"{service['name']}: {service['detail']}")
    if note is None:
        click.echo("no engine is running: keiji system start starts it")
    else:
        up = output.duration((now - datetime.fromisoformat(note.started_at)).total_seconds())
        click.echo(f"engine {note.pid}, version {note.version}, up {up}, sockets in {paths.runtime}")


@system.command()
@click.option("--reason", default="", help="Why; everybody is shown it.")
def pause(*, reason: str) -> None:
    """Start nothing that is due until the system is resumed, whatever restarts meanwhile; what runs goes on."""
    from keiji_engine.bus.protocol import PauseSystem

    output.progress(*client.carry_out(client.workspace(), PauseSystem(reason=reason)))


@system.command()
def resume() -> None:
    """Let everything go on but for tasks that are paused themselves. What was due meanwhile is not caught up with."""
    from keiji_engine.bus.protocol import ResumeSystem

    output.progress(*client.carry_out(client.workspace(), ResumeSystem()))


@system.command(name="logs")
@_of(_LOGGED)
@logs.log_options
def show_logs(chosen: tuple[str, ...], lines: int, editor: str | None, *, follow: bool) -> None:
    """Show the log of one service, of the repo (the database), or of the engine: its starts, its end, its crashes."""
    if len(chosen) != 1:
        raise UsageError(
            f"the logs of which service? {len(chosen)} are named, one is shown at a time",
            hint=f"one of {', '.join(f'--{name}' for name in _LOGGED)}",
        )
    logs.show(client.paths().service_log(chosen[0]), lines=lines, follow=follow, editor=editor)


@system.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--workspace", "with_sources", is_flag=True, help="Remove the workspace, your sources, as well.")
def uninstall(*, yes: bool, with_sources: bool) -> None:
    """Remove everything that keiji keeps: history, logs, builds. Your sources stay unless you say otherwise."""
    from keiji_cli.uninstall import uninstall as remove

    remove(client.paths(), yes=yes, with_sources=with_sources)
