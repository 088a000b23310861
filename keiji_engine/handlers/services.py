"""start-service, stop-service, restart-service, shutdown: the engine itself."""

from __future__ import annotations

from keiji_engine.bus.protocol import Done, RestartService, Shutdown, StartService, StopService
from keiji_engine.handlers.context import Context


async def start_service(context: Context, request: StartService) -> Done:
    """Start a service; a service that is running is left alone."""
    await context.require_engine().start_service(request.service)
    return Done(id=request.id, lines=(f"service {request.service} started",))


async def stop_service(context: Context, request: StopService) -> Done:
    """Stop a service; the others continue."""
    await context.require_engine().stop_service(request.service)
    return Done(id=request.id, lines=(f"service {request.service} stopped",))


async def restart_service(context: Context, request: RestartService) -> Done:
    """Stop a service and start it again."""
    await context.require_engine().restart_service(request.service)
    return Done(id=request.id, lines=(f"service {request.service} restarted",))


async def shutdown(context: Context, request: Shutdown) -> Done:
    """Stop the engine. Live runs continue; the next engine adopts them."""
    context.require_engine().shut_down()
    live = sum(run.is_live for run in context.state.open_runs())
    lines = ["stopping the engine"]
    if live:
        lines.append(
            f"{live} live run{'s continue' if live > 1 else ' continues'}; the engine adopts "
            f"{'them' if live > 1 else 'it'} when it starts again"
        )
    return Done(id=request.id, lines=tuple(lines))
