"""Collects the builds that no task needs any more."""

from __future__ import annotations

import logging
from collections.abc import Collection

from keiji.errors import StorageError
from keiji_engine import builds
from keiji_engine.handlers.context import Context

KEPT_BUILDS = 10  # per task

_log = logging.getLogger("keiji.repo")


async def collect_builds(context: Context, *, released: Collection[str] = ()) -> None:
    """Remove builds that are neither active, nor among the latest of a task, nor needed by an open run.

    A failure is logged: the next collection tries again.

    Args:
        released: hashes of the builds of a task that was deleted. They are removed without a grace period.
    """

    async def in_use() -> set[str]:
        return await context.state.read(lambda transaction: transaction.tasks.builds_to_keep(KEPT_BUILDS))

    try:
        removed = await builds.collect_unheld(context.paths.builds, in_use, released=released)
    except (OSError, StorageError) as error:
        _log.warning("unused builds cannot be removed yet: %s", error)
    else:
        if removed:
            _log.info("unused builds removed: %s", ", ".join(removed))
