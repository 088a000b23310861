"""Records that the tests of the storage and the state use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from repositories import Repositories

from keiji.policy import Policy, Retry
from keiji.reasons import Reason, text_reason
from keiji.records import Build, Claim, Run, RunResult, Task
from keiji.schedule import Schedule, ScheduleContext, every, on
from keiji.states import RunState

NOW = datetime(2026, 11, 23, 7, 0, 0, 123456, tzinfo=UTC)
EVERY_TEN: Schedule = every(10).seconds.with_context(ScheduleContext(anchor=NOW))
FRIDAYS: Schedule = on.friday.at("22:00").with_context(ScheduleContext(anchor=NOW, zone="Africa/Nairobi"))


def at(seconds: float) -> datetime:
    """Return the moment ``seconds`` after NOW."""
    return NOW + timedelta(seconds=seconds)


def a_build(mark: str = "a", policy: Policy | None = None, schedule: Schedule = EVERY_TEN) -> Build:
    return Build(
        hash=mark * 32,
        command=("/opt/python", "main.py", "--run"),
        files={"function.py": "1f" * 32, "sub folder/ü.sh": "2e" * 32 + "+x"},
        schedule=schedule,
        policy=policy or Policy(timeout=30, retry=Retry(tries=3, delay=1, backoff=2)),
        import_seconds=0.125,
        created_at=NOW,
    )


def built_task(store: Repositories, slug: str = "ping") -> Task:
    """Add a task with a build, due every ten seconds from NOW."""
    store.tasks.create(slug, slug, "", NOW)
    return store.tasks.activate(slug, a_build(), EVERY_TEN, at(10), now=NOW)


def claim_of(slug: str, seconds: float, state: RunState = RunState.STARTING, reason: Reason | None = None) -> Claim:
    return Claim(
        task=slug,
        scheduled_for=at(seconds),
        next_at=at(seconds + 10),
        state=state,
        reason=reason,
        build=a_build().hash,
    )


def started(store: Repositories, slug: str, seconds: float) -> Run:
    """Claim an occurrence and record its start."""
    [run] = store.runs.claim([claim_of(slug, seconds)], at(seconds))
    return store.runs.mark_running(run.run_id, at(seconds + 0.25))


def ended(store: Repositories, slug: str, seconds: float, state: RunState = RunState.SUCCEEDED) -> Run:
    """Claim an occurrence, and record its start and its end a second later."""
    run, _ = store.runs.finish(result_of(started(store, slug, seconds), state, seconds + 1))
    return run


def result_of(run: Run, state: RunState, seconds: float, reason: Reason | None = None) -> RunResult:
    if reason is None and state is not RunState.SUCCEEDED:
        reason = text_reason(f"it {state}")
    return RunResult(
        run_id=run.run_id,
        state=state,
        started_at=run.started_at,
        finished_at=at(seconds),
        reason=reason,
        exit_code=0 if state is RunState.SUCCEEDED else 3,
        cpu_seconds=0.75,
        peak_memory_bytes=5 * 1024**3,
        log_start=2**40,
        log_end=2**40 + 17,
    )
