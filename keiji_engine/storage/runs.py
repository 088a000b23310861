"""Verbs about occurrences and runs. Each is one transaction, and states move only as keiji.states lists."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from keiji.errors import NotBuilt, RunNotFound, TaskNotFound
from keiji.policy import Policy
from keiji.records import Run, RunResult
from keiji.states import BAD, ENDED, RunState, Trigger, advance
from keiji_engine.storage.database import Database
from keiji_engine.storage.ids import RunIds
from keiji_engine.storage.recent import recent_runs
from keiji_engine.storage.rows import to_run
from keiji_engine.storage.tables import is_open, runs, tasks

_WITH_SLUG = sa.select(runs, tasks.c.slug).join_from(runs, tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An occurrence that is to be accounted for.

    Args:
        task: slug of the task.
        next_at: the task's next instant once this one is dealt with.
        state: STARTING; QUEUED; or SKIPPED, MISSED or COALESCED with a ``reason``.
        build: hash of the build that is to run.
        due_at: when what is QUEUED may start.
        count: how many instants it is about, from ``scheduled_for`` to ``scheduled_until``.
    """

    task: str
    scheduled_for: datetime
    next_at: datetime | None
    state: RunState
    reason: str = ""
    build: str | None = None
    due_at: datetime | None = None
    count: int = 1
    scheduled_until: datetime | None = None


class RunVerbs:
    """What the store can do with runs. Each verb raises StorageError where the database fails."""

    _database: Database
    _ids: RunIds

    def claim(self, claims: Sequence[Claim], now: datetime) -> list[Run]:
        """Account for occurrences, all in one transaction, and return a run for each that was won, in their order.

        An occurrence that has a row already is passed over, and so is one of a task that is disabled or gone by now;
        the rest goes through. A task's next instant moves on in any case.
        """
        if not claims:
            return []
        with self._database.write() as connection:
            wanted = {claim.task for claim in claims}
            enabled = sa.select(tasks.c.slug, tasks.c.id).where(tasks.c.slug.in_(wanted), ~tasks.c.is_disabled)
            # In one order for everyone, so that two who claim at once wait for each other rather than deadlock.
            owners = {row.slug: row.id for row in connection.execute(enabled.order_by(tasks.c.id).with_for_update())}
            claims = [claim for claim in claims if claim.task in owners]
            if not claims:
                return []
            addition = self._database.insert_or_leave(runs).returning(runs)
            values = [
                self._row(
                    owners[claim.task],
                    now,
                    trigger=Trigger.SCHEDULE,
                    state=claim.state,
                    scheduled_for=claim.scheduled_for,
                    reason=claim.reason,
                    build=claim.build,
                    due_at=claim.due_at,
                    count=claim.count,
                    scheduled_until=claim.scheduled_until,
                )
                for claim in claims
            ]
            slugs = {number: slug for slug, number in owners.items()}
            rows = connection.execute(addition, values).mappings().all()
            won = sorted((to_run(row, slugs[row["task_id"]]) for row in rows), key=lambda run: run.run_id)
            following = {owners[claim.task]: claim.next_at for claim in claims}
            _set_each(connection, "next_at", following)
            _set_each(connection, "last_at", {owners[run.task]: now for run in won if run.is_live})
            return won

    def request_run(
        self, slug: str, *, trigger: Trigger, now: datetime, state: RunState = RunState.STARTING, reason: str = ""
    ) -> Run:
        """Add a run that somebody asked for, of the active build: STARTING, or QUEUED with a ``reason``.

        Raises:
            TaskNotFound: there is no such task.
            NotBuilt: it has no build.
        """
        with self._database.write() as connection:
            owner = connection.execute(sa.select(tasks).where(tasks.c.slug == slug).with_for_update()).one_or_none()
            if owner is None:
                raise _no_task(slug)
            if owner.build is None:
                raise NotBuilt(f"{owner.name!r} has no build yet", hint=f"keiji task build {slug}")
            due_at = now if state is RunState.QUEUED else None
            values = self._row(
                owner.id, now, trigger=trigger, state=state, due_at=due_at, build=owner.build, reason=reason
            )
            row = connection.execute(sa.insert(runs).values(values).returning(runs)).mappings().one()
            run = to_run(row, slug)
            if run.is_live:
                _set_each(connection, "last_at", {owner.id: now})
            return run

    def begin_queued(self, run_id: str, now: datetime) -> Run:
        """Take a queued run out of the queue. It gets the build that is active by now.

        Raises:
            RunNotFound: there is no such run.
            IllegalTransition: it is not queued.
        """
        with self._database.write() as connection:
            before, owner = _locked(connection, run_id)
            active = sa.select(tasks.c.build).where(tasks.c.id == owner).scalar_subquery()
            state = advance(before.state, RunState.STARTING)
            build = sa.func.coalesce(active, runs.c.build)
            run = _moved(connection, before, state=state, build=build, reason="")
            _set_each(connection, "last_at", {owner: now})
            return run

    def skip_queued(self, run_id: str, reason: str, now: datetime) -> Run:
        """Give up a queued run. Raises RunNotFound, IllegalTransition as `begin_queued` does."""
        with self._database.write() as connection:
            before, _ = _locked(connection, run_id)
            state = advance(before.state, RunState.SKIPPED)
            return _moved(connection, before, state=state, reason=reason, finished_at=now)

    def mark_running(self, run_id: str, started_at: datetime) -> Run:
        """Record that a run has its process. One that is recorded as running already stays as it is.

        Raises:
            RunNotFound: there is no such run.
            IllegalTransition: it is neither starting nor running.
        """
        with self._database.write() as connection:
            before, _ = _locked(connection, run_id)
            if before.state is RunState.RUNNING:
                return before
            state = advance(before.state, RunState.RUNNING)
            return _moved(connection, before, state=state, started_at=started_at)

    def finish(self, result: RunResult, *, retry_at: datetime | None = None) -> tuple[Run, Run | None]:
        """Record how a run ended, together with what follows from it.

        With ``retry_at`` a queued run is added, one attempt further. Without, a bad end puts its reason on the task,
        and holds it where its policy says so; a success takes an earlier one off. Recording the same end again changes
        nothing.

        Returns:
            The run as stored, and its retry while that is queued.

        Raises:
            RunNotFound: there is no such run.
            IllegalTransition: it cannot end so, or has ended otherwise.
        """
        with self._database.write() as connection:
            before, owner = _locked(connection, result.run_id)
            if before.state in ENDED and before.state is result.state:
                return before, _queued_retry(connection, before)
            run = _moved(
                connection,
                before,
                state=advance(before.state, result.state),
                started_at=result.started_at or before.started_at,
                finished_at=result.finished_at,
                reason=result.reason or before.reason,  # that it was caught up with, say
                exit_code=result.exit_code,
                signal=result.signal,
                cpu_seconds=result.cpu_seconds,
                peak_memory_bytes=result.peak_memory_bytes,
                log_start=result.log_start,
                log_end=result.log_end,
            )
            retry = self._add_retry(connection, run, owner, retry_at) if retry_at is not None else None
            if run.state in BAD and retry is None:
                _count_failure(connection, owner, run.reason, result.finished_at)
            elif run.state is RunState.SUCCEEDED:
                # A hold, and why there is one, is for somebody to look at; a run by hand does not end it.
                change = sa.update(tasks).where(tasks.c.id == owner, tasks.c.held_at.is_(None))
                connection.execute(change.values(is_error=False, error_text="", failures=0))
            return run, retry

    def cancel_queued(self, slug: str, reason: str, now: datetime) -> list[Run]:
        """Stop every run of a task that has not left the queue; return them. Raises TaskNotFound."""
        queued = _WITH_SLUG.where(tasks.c.slug == slug, runs.c.state == RunState.QUEUED)
        with self._database.write() as connection:
            _require_task(connection, slug)
            waiting = connection.execute(queued.order_by(runs.c.run_id).with_for_update(of=runs)).mappings().all()
            return [
                _moved(
                    connection,
                    to_run(row, slug),
                    state=advance(row["state"], RunState.STOPPED),
                    finished_at=now,
                    reason=reason,
                )
                for row in waiting
            ]

    def open_runs(self, slugs: Collection[str] | None = None) -> list[Run]:
        """Return the runs that have not ended, of some tasks or of all, oldest first."""
        query = _WITH_SLUG.where(is_open(runs.c.state)).order_by(runs.c.run_id)
        if slugs is not None:
            query = query.where(tasks.c.slug.in_(slugs))
        with self._database.read() as connection:
            rows = connection.execute(query).mappings()
            return [to_run(row, row["slug"]) for row in rows]

    def run(self, run_id: str) -> Run:
        """Return one run. Raises RunNotFound where there is none."""
        with self._database.read() as connection:
            row = connection.execute(_WITH_SLUG.where(runs.c.run_id == run_id)).mappings().one_or_none()
            if row is None:
                raise _no_run(run_id)
            return to_run(row, row["slug"])

    def runs(self, slug: str, limit: int) -> list[Run]:
        """Return a task's ``limit`` latest runs, newest first. Raises TaskNotFound."""
        with self._database.read() as connection:
            owner = _require_task(connection, slug)
            latest = sa.select(runs).where(runs.c.task_id == owner)
            latest = latest.order_by(runs.c.created_at.desc(), runs.c.run_id.desc()).limit(limit)
            return [to_run(row, slug) for row in connection.execute(latest).mappings()]

    def recent(self, limit: int = 20) -> dict[str, list[Run]]:
        """Return for each task, by slug, its ``limit`` last runs that had a process and ended, oldest first."""
        with self._database.read() as connection:
            return _by_slug(connection.execute(recent_runs(limit)).mappings())

    def _row(self, owner: int, now: datetime, **values: Any) -> dict[str, Any]:
        defaults = {
            "scheduled_for": None, "scheduled_until": None, "count": 1, "due_at": None, "reason": "", "attempt": 1,
            "retry_of": None,
        }  # fmt: skip
        return {"run_id": self._ids.new(now), "task_id": owner, "created_at": now, **defaults, **values}

    def _add_retry(self, connection: sa.Connection, failed: Run, owner: int, retry_at: datetime) -> Run:
        values = self._row(
            owner,
            failed.finished_at or retry_at,
            trigger=Trigger.RETRY,
            state=RunState.QUEUED,
            scheduled_for=failed.scheduled_for,
            due_at=retry_at,
            attempt=failed.attempt + 1,
            build=failed.build,
            retry_of=failed.run_id,
        )
        row = connection.execute(sa.insert(runs).values(values).returning(runs)).mappings().one()
        return to_run(row, failed.task)


def _locked(connection: sa.Connection, run_id: str) -> tuple[Run, int]:
    """Return a run and the number of its task, with both locked until the transaction ends."""
    row = connection.execute(_WITH_SLUG.where(runs.c.run_id == run_id).with_for_update()).mappings().one_or_none()
    if row is None:
        raise _no_run(run_id)
    return to_run(row, row["slug"]), row["task_id"]


def _moved(connection: sa.Connection, before: Run, **values: Any) -> Run:
    change = sa.update(runs).where(runs.c.run_id == before.run_id).values(**values).returning(runs)
    return to_run(connection.execute(change).mappings().one(), before.task)


def _queued_retry(connection: sa.Connection, failed: Run) -> Run | None:
    query = sa.select(runs).where(runs.c.retry_of == failed.run_id, runs.c.state == RunState.QUEUED)
    row = connection.execute(query).mappings().one_or_none()
    return to_run(row, failed.task) if row is not None else None


def _set_each(connection: sa.Connection, column: str, values: dict[int, datetime | None]) -> None:
    if values:
        change = sa.update(tasks).where(tasks.c.id == sa.bindparam("owner")).values({column: sa.bindparam("moment")})
        connection.execute(change, [{"owner": owner, "moment": moment} for owner, moment in values.items()])


def _count_failure(connection: sa.Connection, owner: int, text: str, at: datetime) -> None:
    """Put an error on a task, and hold it where its policy says that this was one too many."""
    known = sa.select(tasks.c.failures, tasks.c.held_at, tasks.c.policy).where(tasks.c.id == owner)
    failures, held_at, policy = connection.execute(known).one()
    hold_after = Policy.from_dict(policy).hold_after
    if hold_after and failures + 1 >= hold_after:
        held_at = held_at or at
    values = {"is_error": True, "error_text": text, "failures": failures + 1, "held_at": held_at}
    connection.execute(sa.update(tasks).where(tasks.c.id == owner).values(**values))


def _require_task(connection: sa.Connection, slug: str) -> int:
    owner: int | None = connection.scalar(sa.select(tasks.c.id).where(tasks.c.slug == slug))
    if owner is None:
        raise _no_task(slug)
    return owner


def _by_slug(rows: Any) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for row in rows:
        ended = found.setdefault(row["slug"], [])
        if row["run_id"] is not None:
            ended.append(to_run(row, row["slug"]))
    return found


def _no_task(slug: str) -> TaskNotFound:
    return TaskNotFound(f"there is no task {slug!r}", hint="keiji task list shows all tasks")


def _no_run(run_id: str) -> RunNotFound:
    return RunNotFound(f"there is no run {run_id!r}", hint="keiji task runs NAME lists the runs of a task")
