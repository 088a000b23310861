"""delete: forget a task. Its sources stay."""

from __future__ import annotations

import asyncio
import shutil

from keiji.paths import Paths
from keiji.reasons import Code, reason
from keiji_engine.bus.protocol import Delete, Done
from keiji_engine.event_runs import forget
from keiji_engine.handlers.collect import collect_builds
from keiji_engine.handlers.context import Context


async def delete(context: Context, request: Delete) -> Done:
    """Stop the runs of a task, then remove its record, history, logs, link and builds."""
    async with context.locked_task(request.task) as task:
        context.check_stoppable(task)
        # Disabled first: no run may start while its runs are being stopped.
        await context.state.apply(lambda transaction: transaction.tasks.disable(task.slug))
        await context.stop_runs(task, reason(Code.STOPPED, why="delete"))
        own = await context.state.read(lambda transaction: transaction.tasks.builds_of(task.slug))
        await context.state.apply(
            lambda transaction: transaction.tasks.delete(task.slug), lambda transaction: forget(transaction, task)
        )
        has_source = await asyncio.to_thread(_remove_files, context.paths, task.slug)
        await collect_builds(context, released=own)  # except those of other tasks with the same sources
        lines = [f"deleted task {task.name}"]
        if has_source:
            source = context.paths.source(task.slug)
            lines.append(f"its sources stay at {source}; keiji task build {task.slug} restores it")
        return Done(id=request.id, lines=tuple(lines))


def _remove_files(paths: Paths, slug: str) -> bool:
    """Remove the files of a task except its sources and builds; return whether it has sources."""
    paths.link(slug).unlink(missing_ok=True)
    shutil.rmtree(paths.task_log(slug).parent, ignore_errors=True)
    shutil.rmtree(paths.work / slug, ignore_errors=True)
    return paths.source(slug).exists()
