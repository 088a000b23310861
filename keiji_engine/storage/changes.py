"""What a transaction changed: the records as they are now, from which the in-memory state is updated."""

from __future__ import annotations

from dataclasses import dataclass, field

from keiji.records import Backfill, Build, Pause, Run, Task
from keiji_engine.storage.rows import StoredDirective


@dataclass(slots=True)
class Changes:
    """The records that a transaction changed.

    Args:
        tasks: by slug.
        builds: newly activated builds, by slug of the task.
        runs: by id, in the order of the changes.
        backfills: by id.
        renamed: former slug → slug of each task that was renamed.
        removed: slugs of deleted tasks; a task that was created under such a slug afterwards is in `tasks`.
        pause: the pause of the whole system, if `pause_changed`.
        directives: by id, including a directive that `DirectiveRepository.insert` found to be known already.
        pruned: number of rows of the history and the ledger that were removed.
        revision: number of this transaction, counted by the store since it was opened.
    """

    tasks: dict[str, Task] = field(default_factory=dict)
    builds: dict[str, Build] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    backfills: dict[int, Backfill] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    pause: Pause | None = None
    pause_changed: bool = False
    directives: dict[str, StoredDirective] = field(default_factory=dict)
    pruned: int = 0
    revision: int = 0

    @property
    def run(self) -> Run:
        """The one run that changed; of a failed run and its retry, the failed one."""
        return next(iter(self.runs.values()))

    def remove_task(self, slug: str) -> None:
        """Record that a task is deleted, with its builds and runs."""
        self.tasks.pop(slug, None)
        self.builds.pop(slug, None)
        self.runs = {run_id: run for run_id, run in self.runs.items() if run.task != slug}
        self.backfills = {number: backfill for number, backfill in self.backfills.items() if backfill.task != slug}
        self.removed.append(slug)

    def slugs(self) -> set[str]:
        """Return the slugs of all affected tasks."""
        runs, backfills = self.runs.values(), self.backfills.values()
        owners = {*(run.task for run in runs), *(backfill.task for backfill in backfills)}
        return {*self.tasks, *self.builds, *self.removed, *self.renamed, *owners}

    def __bool__(self) -> bool:
        """Whether anything changed that is in memory, and that the scheduler decides on."""
        changed = self.tasks or self.builds or self.runs or self.backfills or self.removed
        return bool(changed or self.pause_changed)
