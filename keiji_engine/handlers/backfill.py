"""backfill, stop-backfill, resume-backfill, get-backfills, plan-backfill: run past instants of a schedule."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from keiji.errors import BackfillNotFound, InvalidSchedule, NotBuilt, UsageError
from keiji.formats import format_moment
from keiji.policy import Overlap
from keiji.reasons import Code, Reason, reason, render
from keiji.records import Backfill, Task
from keiji.schedule import Schedule
from keiji.schedule.once import parse_moment
from keiji.schedule.walltime import instant_of
from keiji.states import BackfillState
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import BackfillInstant, BackfillView, backfill_view
from keiji_engine.handlers.context import Context
from keiji_engine.handlers.run import check_parameters
from keiji_engine.logs.service_log import log_task
from keiji_engine.scheduler.backfill import MAX_INSTANTS, RunningBackfill, instants_between, obstacle, reach_back
from keiji_engine.scheduler.model import Conditions
from keiji_engine.storage.transactions import Transaction

MAX_PARALLEL = 1000
MAX_BACKFILLS = 1000
_TICK = timedelta(microseconds=1)
_EXAMPLES = 'for example 2026-11-01, "2026-11-01 06:00" or 2026-11-01T06:00+01:00'


@dataclass(frozen=True)
class _Range:
    """The instants that a backfill covers.

    Args:
        schedule: it has instants in the whole range.
        note: what is left out of the requested range; "" if nothing is.
    """

    schedule: Schedule
    instants: tuple[datetime, ...]
    note: str


async def backfill(context: Context, request: p.BackfillTask) -> p.Done:
    """Create a backfill. Raises UsageError, NotBuilt, TaskBroken, BackfillRunning."""
    async with context.locked_task(request.task) as task:
        _check_parallel(task, request.parallel)
        context.check_readable(task)
        check_parameters(task, context.state.build(task.slug), request.params)
        chosen = await asyncio.to_thread(_resolve, context, task, request.begin, request.end)

        def create(transaction: Transaction) -> None:
            now = context.clock()
            created = transaction.backfills.create(
                task.slug,
                chosen.schedule,
                chosen.instants[0],
                chosen.instants[-1],
                now,
                total=len(chosen.instants),
                parallel=request.parallel,
                again=request.again,
                by=request.sender,
                params=request.params,
            )
            # Retries of a stopped backfill would hold up the instants that they belong to.
            superseded = reason(Code.STOPPED, by=f"backfill {created.id}")
            transaction.runs.cancel_queued_backfills(task.slug, superseded, now)

        changes = await context.state.apply(create)
        created = max(changes.backfills.values(), key=lambda each: each.id)
    zone = ZoneInfo(created.schedule.context.zone)
    span = f"{format_moment(created.first, zone)} to {format_moment(created.last, zone)}"
    log_task(task.slug, f"backfill {created.id} of {_count(created.total)}, {span}")
    lines = [f"backfill {created.id} of task {task.name}: {_count(created.total)}, {span}"]
    if chosen.note:
        lines.append(chosen.note)
    if context.control is None:
        lines.append("no engine is running; it begins when the engine starts: keiji system start")
    elif (waiting := _waiting(context, created)) and waiting.code not in (Code.WAITING_FOR_PREVIOUS,):
        lines.append(f"it does not begin yet: {render(waiting, context.settings().zone)}")
    lines.append(f"keiji task backfill --list shows its progress, --stop {created.id} stops it")
    return p.Done(id=request.id, lines=tuple(lines))


async def stop_backfill(context: Context, request: p.StopBackfill) -> p.Done:
    """Stop a backfill. Live runs continue. Raises BackfillNotFound."""
    async with context.locked_task(request.task) as task:
        known = await _find(context, task, request.backfill)
        if known.state is not BackfillState.RUNNING:
            return p.Done(id=request.id, lines=(f"backfill {known.id} of task {task.name} is {_describe(known)}",))
        changes = await context.state.apply(
            lambda transaction: transaction.backfills.stop(request.backfill, context.clock())
        )
        stopped = changes.backfills[request.backfill]
    log_task(task.slug, f"backfill {stopped.id} stopped")
    left = stopped.total - backfill_view(stopped).done - stopped.open
    lines = [f"stopped backfill {stopped.id} of task {task.name}; {_count(left)} left"]
    own = [run for run in context.state.open_runs(task.slug) if run.series == stopped.series]
    if live := sum(run.is_live for run in own):
        runs, them = ("run continues", "it") if live == 1 else ("runs continue", "them")
        lines.append(f"{live} live {runs}; keiji task stop {task.slug} stops {them}")
    if retries := sum(not run.is_live for run in own):
        lines.append(f"{retries} {'retry waits' if retries == 1 else 'retries wait'} until it is resumed")
    lines.append(f"keiji task backfill --resume {stopped.id} continues it")
    return p.Done(id=request.id, lines=tuple(lines))


async def resume_backfill(context: Context, request: p.ResumeBackfill) -> p.Done:
    """Continue a stopped backfill. Raises BackfillNotFound, BackfillRunning."""
    async with context.locked_task(request.task) as task:
        known = await _find(context, task, request.backfill)
        if known.state is not BackfillState.STOPPED:
            return p.Done(id=request.id, lines=(f"backfill {known.id} of task {task.name} is {_describe(known)}",))
        changes = await context.state.apply(
            lambda transaction: transaction.backfills.resume(request.backfill, context.clock())
        )
        resumed = changes.backfills[request.backfill]
    log_task(task.slug, f"backfill {resumed.id} resumed")
    left = resumed.total - backfill_view(resumed).done
    return p.Done(id=request.id, lines=(f"resumed backfill {resumed.id} of task {task.name}; {_count(left)} left",))


async def get_backfills(context: Context, request: p.GetBackfills) -> p.Backfills:
    """Return backfills, newest first. Raises TaskNotFound, BackfillNotFound."""
    if request.backfill is not None:
        wanted = request.backfill
        found = [await context.state.read(lambda transaction: transaction.backfills.get(wanted))]
    else:
        slug = context.state.find(request.task).slug if request.task is not None else None
        limit = min(max(request.limit, 0), MAX_BACKFILLS)
        found = await context.state.read(lambda transaction: transaction.backfills.latest(limit, slug))
    return p.Backfills(id=request.id, backfills=tuple(_view(context, backfill) for backfill in found))


async def plan_backfill(context: Context, request: p.PlanBackfill) -> p.BackfillPlan:
    """Return what a backfill would run. Raises UsageError, TaskNotFound, NotBuilt, TaskBroken."""
    task = context.state.find(request.task)
    chosen = await asyncio.to_thread(_resolve, context, task, request.begin, request.end)
    first, last = chosen.instants[0], chosen.instants[-1]
    succeeded = await context.state.read(
        lambda transaction: transaction.runs.succeeded_instants(task.slug, first, last)
    )
    return p.BackfillPlan(
        id=request.id,
        task=task.slug,
        zone=chosen.schedule.context.zone,
        instants=tuple(BackfillInstant(at=at, has_succeeded=at in succeeded) for at in chosen.instants),
        note=chosen.note,
    )


def running_backfills(context: Context, slug: str) -> list[Reason]:
    """Return the running backfills of a task, with what they wait for, as reasons."""
    found = []
    for each in context.state.backfills(slug):
        view = _view(context, each)
        found.append(reason(Code.BACKFILL, backfill=view.id, done=view.done, total=view.total, cause=view.waiting))
    return found


def _resolve(context: Context, task: Task, begin: str, end: str) -> _Range:
    """Return the instants in a range as the user entered it. Called in a thread: there may be many."""
    context.check_readable(task)
    if task.schedule is None:
        raise NotBuilt.named(task.name, task.slug)
    zone_name = task.schedule.context.zone
    zone = ZoneInfo(zone_name)
    first, last = _parse(begin, "--from", zone, is_end=False), _parse(end, "--to", zone, is_end=True)
    if first > last:
        raise UsageError(
            f"the range ends before it begins: --from {begin} --to {end} (time zone {zone_name})",
            hint="give the earlier time to --from",
        )
    # Later instants are not due yet, or the scheduler has not decided about them: they are left to the schedule.
    now, note = context.clock(), ""
    limit = min(now, task.next_at - _TICK) if task.next_at is not None else now
    schedule = reach_back(task.schedule, first)
    if last > limit:
        following = schedule.next_after(limit)
        if following is not None and following <= last:
            note = f"instants from {format_moment(following, zone)} on are left to the schedule"
        last = limit
    instants = tuple(islice(instants_between(schedule, first, last), MAX_INSTANTS + 1))
    if not schedule.has_instants:
        raise UsageError(
            f"{task.name} has no instants to backfill: it runs on an event ({schedule.describe()})",
            hint=f'keiji task run {task.slug} --due "{begin}" runs it for one time',
        )
    if not instants:
        following = schedule.next_after(last)
        hint = f"it is due next at {format_moment(following, zone)}" if following else "it is never due again"
        raise UsageError(
            f"{task.name} has no past instants from {begin} to {end} ({schedule.describe()}, time zone {zone_name})",
            hint=hint if task.next_at is not None or following is None else "",
        )
    if len(instants) > MAX_INSTANTS:
        raise UsageError(
            f"the range has more than {MAX_INSTANTS:,} instants of '{schedule.describe()}', the limit of one backfill",
            hint=f'choose a shorter range; --to "{instants[-2].astimezone(zone):%Y-%m-%d %H:%M:%S}" is the limit',
        )
    return _Range(schedule, instants, note)


def _parse(text: str, option: str, zone: ZoneInfo, *, is_end: bool) -> datetime:
    """Return the moment that a user entered; a date alone is the begin of that day, or its end."""
    try:
        moment = parse_moment(text, option)
    except InvalidSchedule as error:
        raise UsageError(error.message, hint=_EXAMPLES) from error
    if len(text.strip()) > len("2026-11-01") or moment.tzinfo is not None:
        return moment if moment.tzinfo is not None else instant_of(moment, zone)
    if not is_end:
        return instant_of(moment, zone)
    return instant_of(moment + timedelta(days=1), zone) - _TICK


def _check_parallel(task: Task, parallel: int) -> None:
    if not 1 <= parallel <= MAX_PARALLEL:
        raise UsageError(f"--parallel {parallel}: expected a number from 1 to {MAX_PARALLEL}")
    if parallel == 1:
        return
    policy = task.policy
    if policy.overlap is not Overlap.ALLOW:
        raise UsageError(
            f"--parallel {parallel}: {task.name} runs one at a time (overlap: {policy.overlap})",
            hint="leave out --parallel, or set overlap='allow' in its policy and build it",
        )
    if policy.max_parallel is not None and parallel > policy.max_parallel:
        raise UsageError(
            f"--parallel {parallel}: the policy of {task.name} allows {policy.max_parallel} at a time (max_parallel)",
            hint="choose a smaller number, or raise max_parallel in its policy and build it",
        )


async def _find(context: Context, task: Task, number: int) -> Backfill:
    found = await context.state.read(lambda transaction: transaction.backfills.get(number))
    if found.task != task.slug:
        raise BackfillNotFound.with_id(number)
    return found


def _view(context: Context, backfill: Backfill) -> BackfillView:
    return backfill_view(backfill, _waiting(context, backfill))


def _waiting(context: Context, backfill: Backfill) -> Reason | None:
    """Return why a running backfill starts nothing now; None if it does."""
    if backfill.state is not BackfillState.RUNNING:
        return None
    if context.control is None:
        return reason(Code.ENGINE_OFFLINE)
    states, live, _ = context.state.running_backfills()
    conditions = Conditions(
        can_run=context.control.runs.is_online,
        pause=context.state.pause,
        max_parallel=context.settings().max_parallel_runs or None,
    )
    own: RunningBackfill | None = next((state for state in states if state.backfill.id == backfill.id), None)
    return obstacle(own, live, context.clock(), conditions) if own is not None else None


def _count(number: int) -> str:
    return f"{number:,} instant{'' if number == 1 else 's'}"


def _describe(backfill: Backfill) -> str:
    return {
        BackfillState.RUNNING: "running already",
        BackfillState.STOPPED: "stopped already",
        BackfillState.DONE: "done",
    }[backfill.state]
