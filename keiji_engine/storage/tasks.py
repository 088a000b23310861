"""Verbs about tasks and their builds. Each is one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from keiji.errors import TaskExists, TaskNotFound
from keiji.policy import Policy
from keiji.records import Build, Pause, Task
from keiji.schedule import Schedule
from keiji_engine.storage.database import Database
from keiji_engine.storage.rows import from_pause, to_build, to_task
from keiji_engine.storage.tables import builds, runs, tasks


class TaskVerbs:
    """What the store can do with tasks and builds. Each verb raises StorageError where the database fails."""

    _database: Database

    def create_task(self, name: str, slug: str, description: str, now: datetime) -> Task:
        """Add a task that has no build yet.

        Raises:
            TaskExists: the name, or the folder that it would have, is taken.
        """
        addition = self._database.insert_or_leave(tasks).values(
            task_id=str(uuid.uuid4()),
            name=name,
            slug=slug,
            description=description,
            policy=Policy().to_dict(),
            is_disabled=False,
            is_error=False,
            error_text="",
            created_at=now,
        )
        with self._database.write() as connection:
            row = connection.execute(addition.returning(tasks)).mappings().one_or_none()
            if row is None:
                raise _taken(connection, name, slug)
            return to_task(row)

    def describe(self, slug: str, *, name: str, description: str) -> Task:
        """Give a task another name and description; its folder stays.

        Raises:
            TaskNotFound: there is no such task.
            TaskExists: another task has that name.
        """
        others = sa.select(tasks.c.slug).where(tasks.c.name == name, tasks.c.slug != slug)
        with self._database.write() as connection:
            if connection.scalar(others) is not None:
                raise _taken(connection, name, slug)
            return _changed(connection, slug, name=name, description=description)

    def tasks(self, slugs: Collection[str] | None = None) -> list[Task]:
        """Return some tasks or all of them, by name."""
        query = sa.select(tasks) if slugs is None else sa.select(tasks).where(tasks.c.slug.in_(slugs))
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        # Sorted here: the order of letters differs between databases, and between the locales of their servers.
        return sorted(map(to_task, rows), key=lambda task: (task.name.casefold(), task.name))

    def task(self, slug: str) -> Task:
        """Return one task. Raises TaskNotFound where there is none."""
        with self._database.read() as connection:
            return _found(connection, slug)

    def activate(self, slug: str, build: Build, schedule: Schedule, next_at: datetime | None, *, now: datetime) -> Task:
        """Make ``build`` the active one: it, its policy, its placed schedule and the next instant in one step.

        A disabled task stays so and has no next instant; an error is cleared, and a hold with it. Raises TaskNotFound.
        """
        addition = self._database.insert_or_leave(builds)
        with self._database.write() as connection:
            task = _found(connection, slug, lock=True)
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
            }
            if connection.scalar(addition.values(values).returning(builds.c.hash)) is None:
                known = sa.and_(builds.c.task_id == task.id, builds.c.hash == build.hash)
                connection.execute(sa.update(builds).where(known).values(activated_at=now))
            return _changed(
                connection,
                slug,
                build=build.hash,
                schedule=schedule.to_dict(),
                policy=build.policy.to_dict(),
                next_at=None if task.is_disabled else next_at,
                is_error=False,
                error_text="",
                failures=0,
                held_at=None,
            )

    def set_enabled(self, slug: str, enabled: bool, schedule: Schedule | None, next_at: datetime | None) -> Task:
        """Enable or disable a task. ``schedule`` (None: as it was) and ``next_at`` are taken when it is enabled.

        Raises TaskNotFound.
        """
        values: dict[str, Any] = {"is_disabled": not enabled, "next_at": next_at if enabled else None}
        if enabled and schedule is not None:
            values["schedule"] = schedule.to_dict()
        with self._database.write() as connection:
            return _changed(connection, slug, **values)

    def reschedule(self, slug: str, schedule: Schedule, next_at: datetime | None) -> Task:
        """Place a task's schedule anew. A disabled one keeps no next instant. Raises TaskNotFound."""
        following = sa.case((tasks.c.is_disabled, None), else_=sa.literal(next_at, tasks.c.next_at.type))
        with self._database.write() as connection:
            return _changed(connection, slug, schedule=schedule.to_dict(), next_at=following)

    def resolve(self, slug: str) -> Task:
        """Clear a task's error, and let it run again where it was held. Raises TaskNotFound."""
        with self._database.write() as connection:
            return _changed(connection, slug, is_error=False, error_text="", failures=0, held_at=None)

    def pause_task(self, slug: str, pause: Pause | None) -> Task:
        """Pause a task, or let it go on. Raises TaskNotFound."""
        with self._database.write() as connection:
            return _changed(connection, slug, paused=from_pause(pause))

    def delete_task(self, slug: str) -> None:
        """Remove a task with its builds and its history. Raises TaskNotFound."""
        with self._database.write() as connection:
            if connection.execute(sa.delete(tasks).where(tasks.c.slug == slug)).rowcount == 0:
                raise _missing(slug)

    def active_build(self, slug: str) -> Build | None:
        """Return the build that runs when the task does; None before the first one. Raises TaskNotFound."""
        with self._database.read() as connection:
            task = _found(connection, slug)
            active = sa.select(builds).where(builds.c.task_id == task.id, builds.c.hash == task.build)
            row = connection.execute(active).mappings().one_or_none()
            return to_build(row) if row is not None else None

    def active_builds(self) -> dict[str, Build]:
        """Return the active build of each task that has one, by slug."""
        query = sa.select(builds, tasks.c.slug).join_from(
            builds, tasks, sa.and_(builds.c.task_id == tasks.c.id, builds.c.hash == tasks.c.build)
        )
        with self._database.read() as connection:
            return {row["slug"]: to_build(row) for row in connection.execute(query).mappings()}

    def builds_of(self, slug: str) -> set[str]:
        """Return the hashes of the builds that a task had. Raises TaskNotFound."""
        with self._database.read() as connection:
            task = _found(connection, slug)
            return set(connection.scalars(sa.select(builds.c.hash).where(builds.c.task_id == task.id)))

    def build_hashes(self) -> set[str]:
        """Return the hashes of all builds that a task or a run refers to."""
        referred = sa.union(
            sa.select(builds.c.hash),
            sa.select(runs.c.build).where(runs.c.build.is_not(None)),
        )
        with self._database.read() as connection:
            return set(connection.scalars(referred))


def _found(connection: sa.Connection, slug: str, *, lock: bool = False) -> Task:
    query = sa.select(tasks).where(tasks.c.slug == slug)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise _missing(slug)
    return to_task(row)


def _changed(connection: sa.Connection, slug: str, **values: Any) -> Task:
    change = sa.update(tasks).where(tasks.c.slug == slug).values(**values).returning(tasks)
    row = connection.execute(change).mappings().one_or_none()
    if row is None:
        raise _missing(slug)
    return to_task(row)


def _missing(slug: str) -> TaskNotFound:
    return TaskNotFound(f"there is no task {slug!r}", hint="keiji task list shows all tasks")


def _taken(connection: sa.Connection, name: str, slug: str) -> TaskExists:
    if connection.scalar(sa.select(tasks.c.id).where(tasks.c.name == name)) is not None:
        return TaskExists(f"there is a task {name!r} already", hint="choose another name, or delete that task first")
    owner = connection.scalar(sa.select(tasks.c.name).where(tasks.c.slug == slug))
    return TaskExists(
        f"{name!r} would have the folder {slug!r}, which is that of the task {owner!r}", hint="choose another name"
    )
