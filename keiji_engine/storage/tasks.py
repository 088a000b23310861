"""Tasks and their builds."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from keiji.errors import BuildNotFound, TaskExists, TaskNotFound
from keiji.policy import Policy
from keiji.reasons import Reason
from keiji.records import Build, Pause, RecordedBuild, Task
from keiji.schedule import Schedule
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.database import insert_unless_known
from keiji_engine.storage.rows import from_pause, readable, to_build, to_recorded_build, to_task
from keiji_engine.storage.set_back import next_not_run
from keiji_engine.storage.tables import builds, is_open, runs, tasks

_UPDATE = sa.update(tasks).where(tasks.c.slug == sa.bindparam("key")).returning(tasks)  # columns: the parameters
_CLEARED_ERROR: dict[str, Any] = {"is_error": False, "error": None, "failures": 0, "held_at": None}


class TaskRepository:
    """Tasks and builds in one transaction."""

    def __init__(self, connection: sa.Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, name: str, slug: str, description: str, now: datetime) -> Task:
        """Add a task that has no build yet.

        Raises:
            TaskExists: the name or the slug is taken.
        """
        addition = insert_unless_known(self._connection.dialect.name, tasks).values(
            task_id=str(uuid.uuid4()),
            name=name,
            slug=slug,
            description=description,
            policy=Policy().to_dict(),
            is_disabled=False,
            is_error=False,
            error=None,
            created_at=now,
        )
        row = self._connection.execute(addition.returning(tasks)).mappings().one_or_none()
        if row is None:
            raise self._taken(name, slug)
        return self._record(row)

    def update_details(self, slug: str, *, name: str, description: str) -> Task:
        """Change the name and description of a task; its slug stays.

        Raises:
            TaskNotFound: there is no such task.
            TaskExists: another task has that name.
        """
        others = sa.select(tasks.c.slug).where(tasks.c.name == name, tasks.c.slug != slug)
        if self._connection.scalar(others) is not None:
            raise self._taken(name, slug)
        return self._update(slug, name=name, description=description)

    def rename(self, slug: str, name: str, new_slug: str) -> Task:
        """Give a task another name and slug; its builds and runs stay.

        Raises:
            TaskNotFound: there is no such task.
            TaskExists: another task has that name or slug.
        """
        self._locked(slug)
        others = sa.select(tasks.c.slug).where(
            sa.or_(tasks.c.name == name, tasks.c.slug == new_slug), tasks.c.slug != slug
        )
        if self._connection.scalar(others) is not None:
            raise self._taken(name, new_slug)
        change = sa.update(tasks).where(tasks.c.slug == slug).values(name=name, slug=new_slug).returning(tasks)
        self._changes.tasks.pop(slug, None)
        self._changes.renamed[slug] = new_slug
        return self._record(self._connection.execute(change).mappings().one())

    def activate(
        self,
        slug: str,
        build: Build,
        schedule: Schedule,
        next_at: datetime | None,
        *,
        now: datetime,
        policy: Policy | None = None,
        by: str = "",
        is_rollback: bool = False,
    ) -> Task:
        """Make ``build`` the active one, with its policy, its schedule in context and the next due instant.

        ``policy`` is that of the build with the defaults of the workspace; None if there are none. ``by`` is the user
        or the client program that activates it. A rollback records which build it replaces,
        unless it undoes the previous one.

        A disabled task stays disabled and has no next instant. An error and a hold are cleared. Raises TaskNotFound.
        """
        task = self._locked(slug)
        values = {
            "task_id": task.id,
            "hash": build.hash,
            "command": build.command,
            "files": build.files,
            "schedule": build.schedule.to_dict(),
            "policy": build.policy.to_dict(),
            "import_seconds": build.import_seconds,
            "created_at": build.created_at,
            "activated_at": now,
            "execution": build.execution.to_dict(),
            "activated_by": by,
            "is_pinned": False,
        }
        addition = insert_unless_known(self._connection.dialect.name, builds).values(values)
        if self._connection.scalar(addition.returning(builds.c.hash)) is None:
            known = sa.and_(builds.c.task_id == task.id, builds.c.hash == build.hash)
            renewed = ("activated_at", "activated_by", "execution", "files")  # a rename has changed the recorded files
            change = sa.update(builds).where(known).values({name: values[name] for name in renewed})
            build = replace(build, is_pinned=self._connection.scalar(change.returning(builds.c.is_pinned)))
        changed = self._update(
            slug,
            build=build.hash,
            schedule=schedule.to_dict(),
            policy=(policy or build.policy).to_dict(),
            next_at=None if task.is_disabled else next_not_run(self._connection, task.id, schedule, next_at),
            rolled_back_from=task.build if is_rollback and build.hash != task.rolled_back_from else None,
            **_CLEARED_ERROR,
        )
        self._changes.builds[slug] = build
        return changed

    def set_pinned(self, slug: str, build: str, *, is_pinned: bool) -> Task:
        """Pin a build of a task, or unpin it.

        A pinned build is not collected, and while it is the active one, no other replaces it. Raises TaskNotFound;
        BuildNotFound if the task has no such build.
        """
        task = self._locked(slug)
        known = sa.and_(builds.c.task_id == task.id, builds.c.hash == build)
        change = sa.update(builds).where(known).values(is_pinned=is_pinned).returning(builds)
        row = self._connection.execute(change).mappings().one_or_none()
        if row is None:
            raise BuildNotFound.named(slug, build)
        if task.build == build:
            self._changes.builds[slug] = to_build(row)
        self._changes.tasks[slug] = task
        return task

    def enable(self, slug: str, schedule: Schedule | None, next_at: datetime | None) -> Task:
        """Enable a task, due next at ``next_at``. ``schedule`` None leaves it as it was. Raises TaskNotFound."""
        values: dict[str, Any] = {}
        if schedule is not None:
            values["schedule"] = schedule.to_dict()
            next_at = next_not_run(self._connection, self._locked(slug).id, schedule, next_at)
        return self._update(slug, is_disabled=False, next_at=next_at, **values)

    def disable(self, slug: str) -> Task:
        """Disable a task: it has no next due instant. Raises TaskNotFound."""
        return self._update(slug, is_disabled=True, next_at=None)

    def set_build_files(self, slug: str, build: Build) -> None:
        """Record the files of a task's active build again. Raises TaskNotFound."""
        known = sa.and_(builds.c.task_id == self._locked(slug).id, builds.c.hash == build.hash)
        self._connection.execute(sa.update(builds).where(known).values(files=build.files))
        self._changes.builds[slug] = build

    def set_policy(self, slug: str, policy: Policy) -> Task:
        """Set the policy of a task, for other defaults of the workspace. Raises TaskNotFound."""
        return self._update(slug, policy=policy.to_dict())

    def reschedule(self, slug: str, schedule: Schedule, next_at: datetime | None) -> Task:
        """Set a task's schedule and next due instant; a disabled task has none. Raises TaskNotFound.

        An instant that has run, as there may be after the clock was set back, is passed over.
        """
        task = self._locked(slug)
        next_at = None if task.is_disabled else next_not_run(self._connection, task.id, schedule, next_at)
        return self._update(slug, schedule=schedule.to_dict(), next_at=next_at)

    def advance(
        self,
        locked: Mapping[str, Task],
        next_at: Mapping[str, datetime | None],
        started: Collection[str],
        now: datetime,
    ) -> None:
        """Move tasks, as `lock` returned them, to their next due instants, and record whose runs started at ``now``."""
        self._update_each("next_at", next_at)
        self._update_each("last_at", dict.fromkeys(started, now))
        for slug in {*next_at, *started}:
            task = self._changes.tasks.get(slug, locked[slug])
            last_at = now if slug in started else task.last_at
            self._changes.tasks[slug] = replace(task, next_at=next_at.get(slug, task.next_at), last_at=last_at)

    def count_failure(self, task: Task, error: Reason | None, at: datetime) -> Task:
        """Record a final failure of a task, and hold the task if its policy says so."""
        held_at, failures = task.held_at, task.failures + 1
        if task.policy.hold_after and failures >= task.policy.hold_after:
            held_at = held_at or at
        return self._update(task.slug, is_error=True, error=error, failures=failures, held_at=held_at)

    def has_failures(self, slug: str) -> bool:
        """Return whether a task has failed since its last success, and is not held."""
        has_failed = sa.or_(tasks.c.is_error, tasks.c.failures > 0)
        found = sa.select(tasks.c.id).where(tasks.c.slug == slug, tasks.c.held_at.is_(None), has_failed)
        return self._connection.scalar(found) is not None

    def clear_failures(self, slug: str) -> Task:
        """Clear the error of a task after a success."""
        return self._update(slug, is_error=False, error=None, failures=0)

    def resolve(self, slug: str) -> Task:
        """Clear a task's error and end a hold. Raises TaskNotFound."""
        return self._update(slug, **_CLEARED_ERROR)

    def next_series(self, slug: str) -> int:
        """Return a number for a series of runs that the task has not used. Raises TaskNotFound."""
        change = sa.update(tasks).where(tasks.c.slug == slug).values(last_series=tasks.c.last_series + 1)
        series: int | None = self._connection.scalar(change.returning(tasks.c.last_series))
        if series is None:
            raise TaskNotFound.named(slug)
        return series

    def set_pause(self, slug: str, pause: Pause | None) -> Task:
        """Pause a task, or resume it. Raises TaskNotFound."""
        return self._update(slug, pause=from_pause(pause))

    def delete(self, slug: str) -> None:
        """Remove a task with its builds and its history. Raises TaskNotFound."""
        if self._connection.execute(sa.delete(tasks).where(tasks.c.slug == slug)).rowcount == 0:
            raise TaskNotFound.named(slug)
        self._changes.remove_task(slug)

    # ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, slug: str) -> Task:
        """Return one task. Raises TaskNotFound."""
        row = self._connection.execute(sa.select(tasks).where(tasks.c.slug == slug)).mappings().one_or_none()
        if row is None:
            raise TaskNotFound.named(slug)
        return to_task(row)

    def all(self, slugs: Collection[str] | None = None) -> list[Task]:
        """Return some tasks or all of them, by name."""
        query = sa.select(tasks) if slugs is None else sa.select(tasks).where(tasks.c.slug.in_(slugs))
        rows = self._connection.execute(query).mappings().all()
        # Sorted here: the collation differs between databases, and between the locales of their servers.
        return sorted(map(to_task, rows), key=lambda task: (task.name.casefold(), task.name))

    def lock(self, slugs: Collection[str]) -> dict[str, Task]:
        """Return tasks by slug, with their rows locked until the transaction ends."""
        # Locked in one order by every transaction, so that two of them wait for each other rather than deadlock.
        query = sa.select(tasks).where(tasks.c.slug.in_(slugs)).order_by(tasks.c.id).with_for_update()
        return {row["slug"]: to_task(row) for row in self._connection.execute(query).mappings()}

    def active_builds(self, slugs: Collection[str] | None = None) -> dict[str, Build]:
        """Return the active build of each task that has one, by slug."""
        query = sa.select(builds, tasks.c.slug).join_from(
            builds, tasks, sa.and_(builds.c.task_id == tasks.c.id, builds.c.hash == tasks.c.build)
        )
        if slugs is not None:
            query = query.where(tasks.c.slug.in_(slugs))
        found = readable(self._connection.execute(query).mappings(), lambda row: (str(row["slug"]), to_build(row)))
        return dict(found)

    def builds_of(self, slug: str) -> set[str]:
        """Return the hashes of all builds of a task. Raises TaskNotFound."""
        task = self.get(slug)
        return set(self._connection.scalars(sa.select(builds.c.hash).where(builds.c.task_id == task.id)))

    def recorded_builds(self, slug: str) -> list[RecordedBuild]:
        """Return all builds of a task, the one that was activated last first. Raises TaskNotFound."""
        latest_first = (builds.c.activated_at.desc(), builds.c.hash)
        query = sa.select(builds).where(builds.c.task_id == self.get(slug).id).order_by(*latest_first)
        return list(readable(self._connection.execute(query).mappings(), to_recorded_build))

    def builds_to_keep(self, count: int) -> set[str]:
        """Return the hashes of the ``count`` latest builds of each task, of active and pinned builds, and open runs."""
        latest_first = (builds.c.activated_at.desc(), builds.c.hash)
        rank = sa.func.row_number().over(partition_by=builds.c.task_id, order_by=latest_first)
        ranked = sa.select(builds.c.hash, rank.label("rank")).subquery()
        kept = sa.union(
            sa.select(ranked.c.hash).where(ranked.c.rank <= count),
            sa.select(tasks.c.build).where(tasks.c.build.is_not(None)),
            sa.select(builds.c.hash).where(builds.c.is_pinned),
            sa.select(runs.c.build).where(runs.c.build.is_not(None), is_open(runs.c.state)),
        )
        return set(self._connection.scalars(kept))

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _locked(self, slug: str) -> Task:
        task = self.lock([slug]).get(slug)
        if task is None:
            raise TaskNotFound.named(slug)
        return task

    def _update(self, slug: str, **values: Any) -> Task:
        row = self._connection.execute(_UPDATE, {"key": slug, **values}).mappings().one_or_none()
        if row is None:
            raise TaskNotFound.named(slug)
        return self._record(row)

    def _update_each(self, column: str, values: Mapping[str, datetime | None]) -> None:
        if values:
            change = sa.update(tasks).where(tasks.c.slug == sa.bindparam("key")).values({column: sa.bindparam("at")})
            self._connection.execute(change, [{"key": slug, "at": moment} for slug, moment in values.items()])

    def _record(self, row: sa.RowMapping) -> Task:
        task = to_task(row)
        self._changes.tasks[task.slug] = task
        return task

    def _taken(self, name: str, slug: str) -> TaskExists:
        if self._connection.scalar(sa.select(tasks.c.id).where(tasks.c.name == name)) is not None:
            hint = "choose another name, or delete that task first"
            return TaskExists(f"there is already a task {name!r}", hint=hint)
        owner = self._connection.scalar(sa.select(tasks.c.name).where(tasks.c.slug == slug))
        message = f"{name!r} would use the folder {slug!r}, which belongs to the task {owner!r}"
        return TaskExists(message, hint="choose another name")
