"""start-service, stop-service, restart-service, shutdown: the engine itself."""

from __future__ import annotations

from keiji_engine.bus.protocol import Done, RestartService, Shutdown, StartService, StopService
from keiji_engine.handlers.context import Context


async def start_service(desk: Context, request: StartService) -> Done:
    """Start a service; one that runs is left alone."""
    await desk.engine().start_service(request.service)
    return Done(id=request.id, lines=(f"service {request.service} started",))


async def stop_service(desk: Context, request: StopService) -> Done:
    """Stop a service; the others go on."""
    await desk.engine().stop_service(request.service)
    return Done(id=request.id, lines=(f"service {request.service} stopped",))


async def restart_service(desk: Context, request: RestartService) -> Done:
    """Stop a service and start it again."""
    await desk.engine().restart_service(request.service)
    return Done(id=request.id, lines=(f"service {request.service} restarted",))


async def shutdown(desk: Context, request: Shutdown) -> Done:
    """End the engine; live runs go on, and the next engine adopts them."""
    desk.engine().shut_down()
    live = sum(run.is_live for run in desk.board.open_runs())
    lines = ["stopping the engine"]
    if live:
        lines.append(f"{live} live run{'s' if live > 1 else ''} will go on; the next engine adopts them")
    return Done(id=request.id, lines=tuple(lines))
