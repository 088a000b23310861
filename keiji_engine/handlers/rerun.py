"""rerun: repeat a run of a task, with its parameters and its due instant."""

from __future__ import annotations

from keiji.errors import KeijiError
from keiji.formats import format_moment
from keiji.reasons import render
from keiji.states import OPEN
from keiji_engine.bus.protocol import Done, RerunTask
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.run import check_parameters


async def rerun(context: Context, request: RerunTask) -> Done:
    """Repeat a run. Raises RunNotFound, NotBuilt, TaskBroken, AlreadyRunning, EngineOffline, ServiceOffline.

    UsageError is raised if the task does not have its parameters any more.
    """
    async with context.locked_task(request.task) as task:
        context.check_readable(task)
        repeated = await context.state.read(lambda transaction: transaction.runs.get(request.run))
        if repeated.state in OPEN:
            raise KeijiError(
                f"run {repeated.run_id} has not ended: it is {repeated.state}",
                hint=f"wait until it has ended, or keiji task stop {task.slug}",
            )
        if repeated.count > 1:
            raise KeijiError(
                f"run {repeated.run_id} stands for {repeated.count} occurrences, none of which ran",
                hint=f"keiji task backfill {task.slug} --from … --to … runs each of them",
            )
        check_parameters(task, context.state.build(task.slug), repeated.params)
        started = await context.require_runs().request_rerun(task, repeated.run_id)
    zone = context.settings().zone
    due = f", due {format_moment(started.scheduled_for, zone)}" if started.scheduled_for is not None else ""
    if started.is_live:
        lines = [f"repeating run {repeated.run_id} of task {task.name}{due} (run {started.run_id})"]
    else:
        lines = [f"task {task.name}: {render(started.reason, zone)}{due} (run {started.run_id})"]
    return Done(id=request.id, lines=tuple(lines))
