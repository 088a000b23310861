"""delete: forget a task. Its sources stay."""

from __future__ import annotations

import asyncio
import shutil

from keiji.paths import Paths
from keiji_engine import builds
from keiji_engine.bus.protocol import Delete, Done
from keiji_engine.handlers.context import Context
from keiji_engine.storage.store import Store


async def delete(desk: Context, request: Delete) -> Done:
    """Stop a task, then remove its record, history, logs, link and builds."""
    async with desk.holding(request.task) as task:
        desk.check_stoppable(task)
        # Disabled first: nothing of it may start while its run is being stopped.
        desk.board.put_task(await desk.ledger.do(Store.set_enabled, task.slug, False, task.schedule, None))
        await desk.stop_runs(task, "task deleted")
        had = await desk.ledger.do(Store.builds_of, task.slug)
        await desk.ledger.do(Store.delete_task, task.slug)
        desk.board.remove(task.slug)
        # Tasks with the same sources share a build.
        unused = had - await desk.ledger.do(Store.build_hashes)
        await asyncio.to_thread(_remove_files, desk.paths, task.slug, unused)
        source = desk.paths.source(task.slug)
        lines = [f"deleted task {task.name}"]
        if source.exists():
            lines.append(f"its sources stay at {source}; keiji task build {task.slug} brings it back")
        return Done(id=request.id, lines=tuple(lines))


def _remove_files(paths: Paths, slug: str, unused: set[str]) -> None:
    paths.link(slug).unlink(missing_ok=True)
    shutil.rmtree(paths.task_log(slug).parent, ignore_errors=True)
    shutil.rmtree(paths.work / slug, ignore_errors=True)
    builds.remove(paths.builds, unused)
