"""``keiji system``: start, stop and inspect the engine and its services."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click

from keiji import engine_process
from keiji.engine_process import SERVICES
from keiji.errors import EngineOffline, KeijiError, UsageError
from keiji.formats import format_duration
from keiji.paths import Paths
from keiji_cli import client, json_output, logs, output, services
from keiji_cli.groups import OptionSpellingGroup
from keiji_cli.services import ServiceInfo

_LOGS = (*SERVICES, "repo", "engine")


def _service_selection(names: Sequence[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add arguments that select services: ``bus`` or ``--bus``. The command receives the names as ``selected``."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def merge(services: tuple[str, ...], **options: Any) -> Any:
            flags = [name for name in names if options.pop(name)]
            return command(selected=tuple(dict.fromkeys([*services, *flags])), **options)

        decorated: Callable[..., Any] = merge
        for name in reversed(names):
            decorated = click.option(f"--{name}", is_flag=True, help=f"Select the {name}.")(decorated)
        return click.argument("services", nargs=-1, metavar="[SERVICE]...", type=click.Choice(names))(decorated)

    return decorate


@click.group(cls=OptionSpellingGroup)
def system() -> None:
    """Start, stop and inspect the engine and its services."""


@system.command()
@_service_selection(SERVICES)
def start(selected: tuple[str, ...]) -> None:
    """Start the engine in the background, or some of its services.

    The scheduler starts with the runner and the watcher, without which it does not work.
    """
    paths = client.require_workspace()
    error, *_ = services.ping_engine(paths)
    if error is not None:
        raise error
    if engine_process.is_running(paths):
        _start_services(paths, selected)
    else:
        output.print_progress(f"service started with pid {services.start_engine(paths, selected)}")
    _print_online_services(paths)


def _start_services(paths: Paths, selected: Sequence[str]) -> None:
    from keiji_engine.bus.protocol import StartService

    stopped = services.get_offline_services(paths, services.with_required(selected) or SERVICES)
    if not stopped:
        output.print_progress("service already running")
    elif services.get_offline_services(paths, ["bus"]):
        services.start_bus(paths)  # first, since the other services are started by requests
        output.print_progress("service bus started")
        stopped = [name for name in stopped if name != "bus"]
    for name in stopped:
        output.print_progress(*client.execute(paths, StartService(service=name)))


def _print_online_services(paths: Paths) -> None:
    info = engine_process.read_info(paths)
    offline = services.get_offline_services(paths)
    online = [name for name in SERVICES if name not in offline]
    output.print_progress(f"engine {info.pid if info else ''}: {', '.join(online) or 'no service'} online")
    if offline:
        flags = " ".join(f"--{name}" for name in offline)
        output.print_progress(f"offline: {', '.join(offline)}; keiji system start {flags} starts them")


@system.command()
@_service_selection(SERVICES)
@click.option("--force", is_flag=True, help="Kill an engine that does not respond. Its live runs continue.")
def stop(selected: tuple[str, ...], *, force: bool) -> None:
    """Stop the engine, or some of its services. Live runs continue; the engine adopts them when it starts again."""
    paths = client.current_paths()
    if selected:
        for name in services.sort_bus_last(selected):
            output.print_progress(*services.stop_service(paths, name))
    elif engine_process.is_running(paths):
        _stop_engine(paths, force=force)
    else:
        output.print_progress("no engine is running, nothing to stop")


def _stop_engine(paths: Paths, *, force: bool = False) -> None:
    pid = services.kill_engine(paths) if force else services.stop_engine(paths)
    output.print_progress(f"engine {pid} stopped")
    count = services.count_run_files(paths)
    if count == 1:
        output.print_progress("1 live run continues; the engine adopts it when it starts again")
    elif count:
        output.print_progress(f"{count} live runs continue; the engine adopts them when it starts again")


@system.command()
@_service_selection(SERVICES)
def restart(selected: tuple[str, ...]) -> None:
    """Restart the engine, or some of its services. Live runs continue."""
    paths = client.require_workspace()
    if selected:
        for name in services.sort_bus_last(selected):
            output.print_progress(*services.restart_service(paths, name))
        return
    services.check_start(paths)  # first: what keeps an engine from starting must not stop the one that runs
    if engine_process.is_running(paths):
        services.require_detached(paths)
        _stop_engine(paths)
    output.print_progress(f"service started with pid {services.start_engine(paths)}")
    _print_online_services(paths)


@system.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON: an object.")
def status(*, as_json: bool) -> int:
    """Show the status of the services.

    Exit codes: 0 if the engine is running, 1 if a service has failed or is degraded, 3 if no engine is running, 5 if an
    engine is running but does not respond.
    """
    paths = client.require_workspace()
    error, pause, answered = services.ping_engine(paths)
    is_running = engine_process.is_running(paths)  # now: an engine that was just stopping has stopped
    engine = engine_process.read_info(paths) if is_running else None
    service_infos = services.get_services(paths)
    service_infos = answered or service_infos  # the file is outdated if the disk is full
    if error is not None:
        service_infos = [replace(service, status="stale") for service in service_infos]
    now = datetime.now(UTC)
    zone = client.display_zone(paths)
    if as_json:
        click.echo(json_output.format_status(engine, service_infos, zone, now, pause))
    else:
        _print_status(paths, engine, service_infos, now, is_running=is_running)
        if pause is not None:
            click.echo(output.format_system_pause(pause, zone))
        if is_running and error is None:
            _print_unregistered(paths)
    if error is not None:
        raise error
    if not is_running:
        engine_process.require_free_workspace(paths)
        return EngineOffline.exit_code
    return int(any(service.status in {"failed", "degraded"} for service in service_infos))


def _print_unregistered(paths: Paths) -> None:
    with contextlib.suppress(KeijiError):  # it is not what was asked for
        if unregistered := client.find_unregistered(paths, client.get_tasks(paths)):
            click.echo(output.format_unregistered(unregistered))


def _print_status(
    paths: Paths,
    engine: engine_process.EngineInfo | None,
    service_infos: Sequence[ServiceInfo],
    now: datetime,
    *,
    is_running: bool,
) -> None:
    click.echo(output.format_services_table((service.name, service.status) for service in service_infos))
    for service in service_infos:
        if service.detail:
            click.echo(f"{service.name}: {service.detail}")
    if not is_running:
        click.echo("no engine is running: keiji system start starts one")
    elif engine is not None:
        uptime = format_duration((now - datetime.fromisoformat(engine.started_at)).total_seconds(), decimals=0)
        click.echo(
            f"engine {engine.pid}, version {engine.version}, up {uptime}, "
            f"sockets in {engine_process.locate(paths).runtime}"
        )


@system.command()
@click.option("--reason", default="", help="Reason, shown to all users.")
def pause(*, reason: str) -> None:
    """Pause the schedules of all tasks (live runs are not affected).

    The pause lasts until keiji system resume, even if the engine restarts.
    """
    from keiji_engine.bus.protocol import PauseSystem

    output.print_progress(*client.execute(client.require_workspace(), PauseSystem(reason=reason)))


@system.command()
def resume() -> None:
    """Resume everything except tasks paused individually. Runs missed during the pause are not caught up."""
    from keiji_engine.bus.protocol import ResumeSystem

    output.print_progress(*client.execute(client.require_workspace(), ResumeSystem()))


@system.command(name="logs")
@_service_selection(_LOGS)
@logs.log_options
def show_logs(selected: tuple[str, ...], lines: int, editor: str | None, *, follow: bool) -> None:
    """Show the log of a service or of the engine.

    Each service has a log. The others are repo (the database) and engine (starts, stops and crashes of the process).
    """
    if len(selected) != 1:
        raise UsageError(
            "select exactly one log" + (f", not {' and '.join(selected)}" if selected else ""),
            hint=f"one of {', '.join(f'--{name}' for name in _LOGS)}",
        )
    path = client.current_paths().service_log(selected[0])
    logs.show_log(path, lines=lines, follow=follow, editor=editor)


@system.command()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--workspace", "remove_workspace", is_flag=True, help="Also remove the workspace with your sources.")
def uninstall(*, yes: bool, remove_workspace: bool) -> None:
    """Remove all history, logs and builds. Your sources are kept unless you add --workspace."""
    from keiji_cli.uninstall import uninstall as uninstall_from

    uninstall_from(client.current_paths(), yes=yes, remove_workspace=remove_workspace)
