"""Occurrences and runs. States move only as keiji.states lists."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa

from keiji.errors import IllegalTransition, NotBuilt, RunNotFound, TaskNotFound
from keiji.reasons import Code, Reason
from keiji.records import Backfill, Claim, Overrides, ParamValue, Run, RunOrigin, RunResult, Task
from keiji.states import ENDED, FAILURES, NEVER_STARTED, OPEN, RunState, Trigger, transition
from keiji_engine.storage.backfills import BackfillRepository
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.database import insert_unless_known
from keiji_engine.storage.ids import RunIds
from keiji_engine.storage.recent import recent_runs
from keiji_engine.storage.rows import from_request, readable, to_run
from keiji_engine.storage.set_back import next_not_run, reach_again
from keiji_engine.storage.tables import is_open, runs, tasks
from keiji_engine.storage.tasks import TaskRepository

_COVERED_BY_LATER = frozenset({Code.COVERED_LATER, Code.REPLACED})
_COVERED_BY_EARLIER = frozenset({Code.COVERED_EARLIER})
_MAX_COVERED_ROWS = 2_000  # of the instants that one run covers; a row may stand for many instants
_WITH_SLUG = sa.select(runs, tasks.c.slug).join_from(runs, tasks)
_MAX_EXAMINED = 500  # instants of a backfill per transaction


class RunRepository:
    """Runs in one transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        changes: Changes,
        ids: RunIds,
        task_rows: TaskRepository,
        backfill_rows: BackfillRepository,
        *,
        origin: RunOrigin | None = None,
    ) -> None:
        self._connection = connection
        self._changes = changes
        self._ids = ids
        self._tasks = task_rows
        self._backfills = backfill_rows
        self._origin = {"folder": origin.folder or None, "boot": origin.boot or None} if origin is not None else {}

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────

    def claim(
        self,
        claims: Sequence[Claim],
        now: datetime,
        *,
        locked: Mapping[str, Task] | None = None,
        ahead_until: datetime | None = None,
    ) -> list[Run]:
        """Account for occurrences and return a run for each that was claimed here, in their order.

        An occurrence that has a row already is passed over, as is one of a task that is disabled or deleted. The next
        due instant of each enabled task moves on in any case.

        Args:
            locked: the tasks, if they are locked already.
            ahead_until: if the clock was set back, what it had shown. A row of an instant up to then that never started
                gives way, since the instant is reached again.
        """
        if not claims:
            return []
        if locked is None:
            locked = self._tasks.lock({claim.task for claim in claims})
        claimable = {claim.task for claim in claims}
        owners = {slug: task for slug, task in locked.items() if slug in claimable and not task.is_disabled}
        claims = [claim for claim in claims if claim.task in owners]
        if not claims:
            return []
        following = {claim.task: claim.next_at for claim in claims}
        coalesced = {claim.task for claim in claims if claim.state is RunState.COALESCED}
        if ahead_until is not None:
            claims, following = self._reach_again(claims, owners, following, ahead_until)
        extended = [(claim, self._extend(claim, owners[claim.task])) for claim in claims if claim.continues]
        done = {id(claim) for claim, run in extended if run is not None}
        claims = [claim for claim in claims if id(claim) not in done]
        addition = insert_unless_known(self._connection.dialect.name, runs).returning(runs)
        values = [
            self._row(
                owners[claim.task].id,
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
        slugs = {task.id: slug for slug, task in owners.items()}
        rows = self._connection.execute(addition, values).mappings().all() if values else []
        claimed = sorted((to_run(row, slugs[row["task_id"]]) for row in rows), key=lambda run: run.run_id)
        for run in claimed:
            self._changes.runs[run.run_id] = run
        claimed = [self._with_coverage(run, owners[run.task]) if _may_cover(run, coalesced) else run for run in claimed]
        started = {run.task for run in claimed if run.is_live}
        self._tasks.advance(owners, following, started, now)
        return [*(run for _, run in extended if run is not None), *claimed]

    def insert_manual(
        self,
        slug: str,
        now: datetime,
        *,
        state: RunState = RunState.STARTING,
        reason: Reason | None = None,
        params: Mapping[str, ParamValue] | None = None,
        overrides: Overrides | None = None,
    ) -> Run:
        """Add a run that was requested, of the active build: STARTING, or QUEUED with a ``reason``.

        Raises:
            TaskNotFound: there is no such task.
            NotBuilt: it has no build.
        """
        task = self._task(slug)
        if task.build is None:
            raise NotBuilt.named(task.name, slug)
        due_at = now if state is RunState.QUEUED else None
        values = self._row(
            task.id,
            now,
            trigger=Trigger.MANUAL,
            state=state,
            due_at=due_at,
            build=task.build,
            reason=reason,
            **from_request(params or {}, overrides),
        )
        run = self._insert(values, slug)
        if run.is_live:
            self._tasks.advance({slug: task}, {}, [slug], now)
        return run

    def insert_event(
        self,
        slug: str,
        trigger: Trigger,
        now: datetime,
        *,
        state: RunState,
        reason: Reason | None = None,
        due_at: datetime | None = None,
    ) -> Run:
        """Add a run for an event, of the active build: STARTING, QUEUED until ``due_at``, or SKIPPED for a ``reason``.

        Raises TaskNotFound.
        """
        task = self._task(slug)
        finished_at = now if state in NEVER_STARTED else None
        run = self._insert(
            self._row(task.id, now, trigger=trigger, state=state, reason=reason, due_at=due_at, build=task.build)
            | {"finished_at": finished_at},
            slug,
        )
        if run.is_live:
            self._tasks.advance({slug: task}, {}, [slug], now)
        return run

    def insert_rerun(
        self, run_id: str, now: datetime, *, state: RunState = RunState.STARTING, reason: Reason | None = None
    ) -> Run:
        """Add a run that repeats another one: with its due instant, parameters and overrides, in a series of its own.

        It is of the active build: STARTING, or QUEUED with a ``reason``.

        Raises:
            RunNotFound: there is no such run.
            NotBuilt: the task has no build.
        """
        repeated = self.get(run_id)
        task = self._task(repeated.task)
        if task.build is None:
            raise NotBuilt.named(task.name, task.slug)
        values = self._row(
            task.id,
            now,
            trigger=Trigger.RERUN,
            state=state,
            scheduled_for=repeated.scheduled_for,
            due_at=now if state is RunState.QUEUED else None,
            build=task.build,
            reason=reason,
            series=self._tasks.next_series(task.slug),
            covers=repeated.covers,
            covers_from=repeated.covers_from,
            **from_request(repeated.params, repeated.overrides),
        )
        run = self._insert(values, task.slug)
        if run.is_live:
            self._tasks.advance({task.slug: task}, {}, [task.slug], now)
        return run

    def claim_backfill(self, backfill_id: int, count: int, now: datetime) -> list[Run]:
        """Start the next instants of a running backfill, at most ``count``, and move it on; return their runs.

        Instants that have succeeded are skipped unless the backfill runs them again. The backfill does not move beyond
        an instant with an open run in another series, so that an instant never has two runs at a time.
        """
        backfill = self._backfills.lock_running(backfill_id)
        if backfill is None or backfill.next_at is None:
            return []
        task = self._task(backfill.task)
        if task.build is None:
            return []
        instants = list(islice(_instants_from(backfill), _MAX_EXAMINED + 1))
        following = instants.pop() if len(instants) > _MAX_EXAMINED else None
        succeeded, started = self._succeeded_and_open(task.id, instants[0], instants[-1])
        chosen: list[datetime] = []
        skipped = 0
        for instant in instants:
            if instant in succeeded and not backfill.again:
                skipped += 1
            elif len(chosen) == count or instant in started:
                following = instant
                break
            else:
                chosen.append(instant)
        values = [
            self._row(
                task.id,
                now,
                trigger=Trigger.BACKFILL,
                state=RunState.STARTING,
                scheduled_for=instant,
                build=task.build,
                series=backfill.series,
                **from_request(backfill.params, backfill.overrides),
            )
            for instant in chosen
        ]
        # After a database was replaced with a backup, runs may be there that the backfill has not counted.
        addition = insert_unless_known(self._connection.dialect.name, runs).returning(runs)
        rows = self._connection.execute(addition, values).mappings().all() if values else []
        claimed = [self._record(to_run(row, task.slug)) for row in rows]
        skipped += len(chosen) - len(claimed)
        if claimed or skipped or following is None:
            self._backfills.advance(backfill, following, claimed=len(claimed), skipped=skipped, now=now)
        return claimed

    def start_queued(self, run_id: str, now: datetime) -> Run:
        """Take a queued run out of the queue. It gets the build that is active now.

        Raises:
            RunNotFound: there is no such run.
            IllegalTransition: it is not queued.
        """
        before = self._locked(run_id)
        task = self._task(before.task)
        state = transition(before.state, RunState.STARTING)
        run = self._update(before, state=state, build=task.build or before.build, reason=None, **self._origin)
        self._tasks.advance({task.slug: task}, {}, [task.slug], now)
        return run

    def start_all_queued(self, queued: Sequence[Run], owners: Mapping[str, Task], now: datetime) -> None:
        """Take queued runs out of the queue at once, as `start_queued` does with one.

        Args:
            queued: the runs as they are stored.
            owners: their tasks as they are stored, by slug.

        Raises:
            IllegalTransition: one of them is not queued any more.
        """
        if not queued:
            return
        change = (
            sa.update(runs)
            .where(runs.c.run_id == sa.bindparam("key"), runs.c.state == RunState.QUEUED)
            .values(state=RunState.STARTING, build=sa.bindparam("new_build"), reason=None, **self._origin)
        )
        started = [
            replace(run, state=RunState.STARTING, build=owners[run.task].build or run.build, reason=None)
            for run in queued
        ]
        result = self._connection.execute(change, [{"key": run.run_id, "new_build": run.build} for run in started])
        if result.rowcount != len(started):
            raise IllegalTransition(f"{len(started) - result.rowcount} of {len(started)} runs are not queued any more")
        for run in started:
            self._record(run)
        # A backfill does not count as the latest run of the schedule, which decides how a backlog is caught up.
        regular = {run.task for run in started if run.trigger is not Trigger.BACKFILL}
        self._tasks.advance(owners, {}, regular, now)

    def skip_queued(self, run_id: str, reason: Reason, now: datetime) -> Run:
        """End a queued run as skipped. Raises RunNotFound, IllegalTransition as `start_queued` does."""
        before = self._locked(run_id)
        return self._update(before, state=transition(before.state, RunState.SKIPPED), reason=reason, finished_at=now)

    def cancel_queued(self, slug: str, reason: Reason, now: datetime) -> list[Run]:
        """Stop every queued run of a task and return them. Raises TaskNotFound."""
        self._task_id(slug)
        queued = _WITH_SLUG.where(tasks.c.slug == slug, runs.c.state == RunState.QUEUED)
        return self._cancel(queued, reason, now)

    def cancel_queued_backfills(self, slug: str, reason: Reason, now: datetime) -> list[Run]:
        """Stop the queued runs of a task that belong to a backfill, and return them."""
        own = sa.and_(tasks.c.slug == slug, runs.c.trigger == Trigger.BACKFILL)
        return self._cancel(_WITH_SLUG.where(own, runs.c.state == RunState.QUEUED), reason, now)

    def _cancel(self, queued: sa.Select[Any], reason: Reason, now: datetime) -> list[Run]:
        rows = self._connection.execute(queued.order_by(runs.c.run_id).with_for_update(of=runs)).mappings().all()
        cancelled = [
            self._update(
                to_run(row, row["slug"]),
                state=transition(row["state"], RunState.STOPPED),
                finished_at=now,
                reason=reason,
            )
            for row in rows
        ]
        for run in cancelled:
            if run.trigger is Trigger.BACKFILL:
                self._backfills.count_end(run, now)
        return cancelled

    def shorten_waits(self, now: datetime, seen: datetime) -> list[Run]:
        """After the clock was set back from ``seen`` to ``now``, keep the remaining wait of each queued run as it was.

        Returns the runs that changed.
        """
        waiting = _WITH_SLUG.where(runs.c.state == RunState.QUEUED, runs.c.due_at > now)
        return [
            self._update(to_run(row, row["slug"]), due_at=max(row["due_at"] - (seen - now), now))
            for row in self._connection.execute(waiting).mappings().all()
        ]

    def mark_running(self, run_id: str, started_at: datetime) -> Run:
        """Record that a run has its process. A run that is already recorded as running stays as it is.

        Raises:
            RunNotFound: there is no such run.
            IllegalTransition: it is neither starting nor running.
        """
        before = self._locked(run_id)
        if before.state is RunState.RUNNING:
            return before
        return self._update(before, state=transition(before.state, RunState.RUNNING), started_at=started_at)

    def finish(self, result: RunResult, *, retry_at: datetime | None = None) -> tuple[Run, Run | None]:
        """Record how a run ended, and what follows from it.

        With ``retry_at`` a queued run is added, with the next attempt number. Without it, a bad end becomes the error
        of the task, and holds the task if its policy says so; a success clears an earlier error. Recording the same
        end again changes nothing.

        Returns:
            The run as stored, and its retry while that is queued.

        Raises:
            RunNotFound: there is no such run.
            IllegalTransition: it cannot end like this, or has ended in another state.
        """
        before = self._locked(result.run_id)
        if before.state in ENDED and before.state is result.state:
            return before, self._queued_retry(before)
        run = self._update(
            before,
            state=transition(before.state, result.state),
            started_at=result.started_at or before.started_at,
            finished_at=result.finished_at,
            reason=result.reason or before.reason,  # for example that the run was caught up
            exit_code=result.exit_code,
            signal=result.signal,
            cpu_seconds=result.cpu_seconds,
            peak_memory_bytes=result.peak_memory_bytes,
            log_start=result.log_start,
            log_end=result.log_end,
        )
        retry = self._add_retry(run, retry_at) if retry_at is not None else None
        if run.trigger is Trigger.BACKFILL:
            # The schedule is not to blame for past instants: they neither fail nor hold the task.
            if retry is None:
                self._backfills.count_end(run, result.finished_at)
        elif run.state in FAILURES and retry is None:
            self._tasks.count_failure(self._task(run.task), run.reason, result.finished_at)
        elif run.state is RunState.SUCCEEDED and self._tasks.has_failures(run.task):
            # A hold and its reason stay until they are resolved: a successful manual run does not end a hold.
            self._tasks.clear_failures(run.task)
        return run, retry

    # ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, run_id: str) -> Run:
        """Return one run. Raises RunNotFound."""
        row = self._connection.execute(_WITH_SLUG.where(runs.c.run_id == run_id)).mappings().one_or_none()
        if row is None:
            raise RunNotFound.with_id(run_id)
        return to_run(row, row["slug"])

    def open(self, slugs: Collection[str] | None = None) -> list[Run]:
        """Return the runs that have not ended, of some tasks or of all, oldest first."""
        query = _WITH_SLUG.where(is_open(runs.c.state)).order_by(runs.c.run_id)
        if slugs is not None:
            query = query.where(tasks.c.slug.in_(slugs))
        return list(readable(self._connection.execute(query).mappings(), lambda row: to_run(row, row["slug"])))

    def origins(self) -> dict[str, RunOrigin]:
        """Return where each run was claimed that has not ended, by run id; without those of which it is unknown."""
        query = sa.select(runs.c.run_id, runs.c.folder, runs.c.boot).where(is_open(runs.c.state))
        rows = self._connection.execute(query.where(runs.c.folder.is_not(None)))
        return {row.run_id: RunOrigin(row.folder, row.boot or "") for row in rows}

    def count_live(self) -> int:
        """Return the number of live runs of all tasks."""
        live = sa.and_(is_open(runs.c.state), runs.c.state != RunState.QUEUED)
        return self._connection.scalar(sa.select(sa.func.count()).select_from(runs).where(live)) or 0

    def latest(self, slug: str, limit: int) -> list[Run]:
        """Return a task's ``limit`` latest runs, newest first. Raises TaskNotFound."""
        latest = sa.select(runs).where(runs.c.task_id == self._task_id(slug))
        latest = latest.order_by(runs.c.created_at.desc(), runs.c.run_id.desc()).limit(limit)
        return list(readable(self._connection.execute(latest).mappings(), lambda row: to_run(row, slug)))

    def recent(self, limit: int) -> dict[str, list[Run]]:
        """Return for each task, by slug, its ``limit`` latest ended runs that had a process, oldest first."""
        rows = self._connection.execute(recent_runs(limit)).mappings().all()
        found: dict[str, list[Run]] = {row["slug"]: [] for row in rows}
        ended = (row for row in rows if row["run_id"] is not None)
        for run in readable(ended, lambda row: to_run(row, row["slug"])):
            found[run.task].append(run)
        return found

    def instants_after(self, slug: str, moment: datetime) -> set[datetime]:
        """Return the due instants of a task after ``moment`` that ran, as there are after a clock set-back."""
        own = sa.select(runs.c.scheduled_for).join_from(runs, tasks).where(tasks.c.slug == slug)
        ahead = own.where(runs.c.scheduled_for > moment, runs.c.series == 0, runs.c.state.not_in(NEVER_STARTED))
        return {instant for instant in self._connection.scalars(ahead) if isinstance(instant, datetime)}

    def ran_after(self, moment: datetime) -> dict[str, set[datetime]]:
        """Return the due instants after ``moment`` that ran, by task. Reads all runs."""
        ahead = sa.select(tasks.c.slug, runs.c.scheduled_for).join_from(runs, tasks)
        ahead = ahead.where(runs.c.scheduled_for > moment, runs.c.series == 0, runs.c.state.not_in(NEVER_STARTED))
        found: dict[str, set[datetime]] = {}
        for slug, instant in self._connection.execute(ahead):
            if isinstance(instant, datetime):
                found.setdefault(slug, set()).add(instant)
        return found

    def succeeded_instants(self, slug: str, first: datetime, last: datetime) -> set[datetime]:
        """Return the instants of a task from ``first`` to ``last`` that have succeeded in any series."""
        return self._succeeded_and_open(self._task_id(slug), first, last)[0]

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _reach_again(
        self,
        claims: Sequence[Claim],
        owners: Mapping[str, Task],
        following: dict[str, datetime | None],
        ahead_until: datetime,
    ) -> tuple[list[Claim], dict[str, datetime | None]]:
        """Return the claims, and the next instant of each task, where some instants have rows already."""
        by_task: dict[str, list[Claim]] = {}
        for claim in claims:
            by_task.setdefault(claim.task, []).append(claim)
        prepared: list[Claim] = []
        for slug, own in by_task.items():
            task = owners[slug]
            own.sort(key=lambda claim: claim.scheduled_for)
            if task.schedule is None or own[0].scheduled_for - task.schedule.anchored_step > ahead_until:
                prepared += own
                continue
            prepared += reach_again(self._connection, task, own)
            following[slug] = next_not_run(self._connection, task.id, task.schedule, following[slug])
        return prepared, following

    def _with_coverage(self, run: Run, task: Task) -> Run:
        """Record which instants a run covers: its own, and those next to it that were coalesced into it.

        The rows of the others may be of earlier plans: a long backlog takes several.
        """
        own = sa.and_(runs.c.task_id == task.id, runs.c.series == 0, runs.c.attempt == 1)
        others = sa.select(runs.c.scheduled_for, runs.c.state, runs.c.reason, runs.c.count).where(own)
        earlier = others.where(runs.c.scheduled_for < run.scheduled_for).order_by(runs.c.scheduled_for.desc())
        later = others.where(runs.c.scheduled_for > run.scheduled_for).order_by(runs.c.scheduled_for)
        first, count = run.scheduled_for, 1
        for query, codes in ((earlier, _COVERED_BY_LATER), (later, _COVERED_BY_EARLIER)):
            for instant, state, why, instants in self._connection.execute(query.limit(_MAX_COVERED_ROWS)):
                if state is not RunState.COALESCED or not _is_covered(why, run, codes):
                    break
                first, count = min(first or instant, instant), count + instants
        return self._update(run, covers=count, covers_from=first) if count > 1 else run

    def _extend(self, claim: Claim, task: Task) -> Run | None:
        """Add the instants of a claim to the row that accounts for those just before; None if there is no such row.

        A backlog that takes several plans thus shares one row.
        """
        before = sa.select(runs).where(
            runs.c.task_id == task.id,
            runs.c.scheduled_for < claim.scheduled_for,
            runs.c.series == 0,
            runs.c.attempt == 1,
        )
        latest = before.order_by(runs.c.scheduled_for.desc()).limit(1)
        row = self._connection.execute(latest).mappings().one_or_none()
        if row is None or row["scheduled_until"] is None or row["state"] is not claim.state:
            return None
        if row["reason"] != claim.reason and claim.state is not RunState.COALESCED:
            return None  # all reasons for COALESCED say that another run covers the instants
        if task.schedule is None or task.schedule.next_after(row["scheduled_until"]) != claim.scheduled_for:
            return None
        return self._update(
            to_run(row, task.slug),
            count=row["count"] + claim.count,
            scheduled_until=claim.scheduled_until or claim.scheduled_for,
            reason=claim.reason,
        )

    def _succeeded_and_open(self, owner: int, first: datetime, last: datetime) -> tuple[set[datetime], set[datetime]]:
        """Return the instants from ``first`` to ``last`` that have succeeded, and those with an open run."""
        relevant = runs.c.state.in_([RunState.SUCCEEDED, *OPEN])
        query = sa.select(runs.c.scheduled_for, runs.c.state).where(
            runs.c.task_id == owner, runs.c.scheduled_for.between(first, last), relevant
        )
        found: tuple[set[datetime], set[datetime]] = set(), set()
        for instant, state in self._connection.execute(query):
            found[state is not RunState.SUCCEEDED].add(instant)
        return found

    def _row(self, owner: int, now: datetime, **values: Any) -> dict[str, Any]:
        defaults = {
            "scheduled_for": None, "scheduled_until": None, "count": 1, "due_at": None, "reason": None, "attempt": 1,
            "retry_of": None, "folder": None, "boot": None, "series": 0, "params": None, "overrides": None,
            "covers": 1, "covers_from": None,
        }  # fmt: skip
        origin = self._origin if values["state"] is RunState.STARTING else {}
        return {"run_id": self._ids.new(now), "task_id": owner, "created_at": now, **defaults, **origin, **values}

    def _insert(self, values: dict[str, Any], slug: str) -> Run:
        row = self._connection.execute(sa.insert(runs).values(values).returning(runs)).mappings().one()
        return self._record(to_run(row, slug))

    def _add_retry(self, failed: Run, retry_at: datetime) -> Run:
        values = self._row(
            self._task_id(failed.task),
            failed.finished_at or retry_at,
            trigger=Trigger.BACKFILL if failed.trigger is Trigger.BACKFILL else Trigger.RETRY,
            state=RunState.QUEUED,
            scheduled_for=failed.scheduled_for,
            due_at=retry_at,
            attempt=failed.attempt + 1,
            build=failed.build,
            retry_of=failed.run_id,
            series=failed.series,
            covers=failed.covers,
            covers_from=failed.covers_from,
            **from_request(failed.params, failed.overrides),
        )
        return self._insert(values, failed.task)

    def _queued_retry(self, failed: Run) -> Run | None:
        query = sa.select(runs).where(runs.c.retry_of == failed.run_id, runs.c.state == RunState.QUEUED)
        row = self._connection.execute(query).mappings().one_or_none()
        return to_run(row, failed.task) if row is not None else None

    def _locked(self, run_id: str) -> Run:
        """Return a run; its row and that of its task stay locked until the transaction ends."""
        query = _WITH_SLUG.where(runs.c.run_id == run_id).with_for_update()
        row = self._connection.execute(query).mappings().one_or_none()
        if row is None:
            raise RunNotFound.with_id(run_id)
        return to_run(row, row["slug"])

    def _update(self, before: Run, **values: Any) -> Run:
        change = sa.update(runs).where(runs.c.run_id == before.run_id).values(**values).returning(runs)
        return self._record(to_run(self._connection.execute(change).mappings().one(), before.task))

    def _record(self, run: Run) -> Run:
        self._changes.runs[run.run_id] = run
        return run

    def _task(self, slug: str) -> Task:
        """Return a task, with what this transaction changed of it."""
        return self._changes.tasks.get(slug) or self._tasks.get(slug)

    def _task_id(self, slug: str) -> int:
        owner: int | None = self._connection.scalar(sa.select(tasks.c.id).where(tasks.c.slug == slug))
        if owner is None:
            raise TaskNotFound.named(slug)
        return owner


def _may_cover(run: Run, coalesced: Collection[str]) -> bool:
    """Return whether a run may cover other instants. ``coalesced`` are the tasks that have some in the same plan."""
    is_caught_up = run.reason is not None and run.reason.code == Code.CAUGHT_UP
    return run.state not in ENDED and (run.task in coalesced or is_caught_up)


def _is_covered(why: Reason | None, run: Run, codes: Collection[str]) -> bool:
    """Return whether the reason of a coalesced row says that ``run`` covers its instants.

    Args:
        codes: the codes that mean the run next to them.
    """
    if why is None or run.scheduled_for is None:
        return False
    if why.code == Code.COVERED:
        return why.params.get("due") == run.scheduled_for.isoformat()
    return why.code in codes


def _instants_from(backfill: Backfill) -> Iterator[datetime]:
    """Yield the instants that a backfill has not reached yet, in order. There must be one."""
    assert backfill.next_at is not None
    yield backfill.next_at
    for instant in backfill.schedule.upcoming(backfill.next_at):
        if instant > backfill.last:
            return
        yield instant
