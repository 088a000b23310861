"""The planner: due instants, overlap, limits, pauses, holds, jitter and queued runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import START, at, make_agenda, make_run, make_task, make_task_with_policy, queued, running

from keiji.policy import Policy, Retry
from keiji.reasons import Code, reason
from keiji.records import Claim, Pause, Run, Task
from keiji.schedule import Schedule, ScheduleContext, cron, every, on
from keiji.states import RunState, Trigger
from keiji_engine.scheduler.backlog import INDIVIDUAL_ROWS, MAX_INSTANTS
from keiji_engine.scheduler.model import Conditions, Plan
from keiji_engine.scheduler.planner import BURST, plan
from keiji_engine.scheduler.reasons import paused

QUEUE_FULL = reason(Code.QUEUE_FULL, waiting=2, cause=reason(Code.STILL_RUNNING, since=START))
PAUSE = Pause(since=at(1), reason="moving house", by="keiji")


def decide(tasks: Sequence[Task], runs: Sequence[Run], now: datetime, conditions: Conditions | None = None) -> Plan:
    """Plan, by default under conditions that limit nothing."""
    conditions = conditions or Conditions()
    return plan(make_agenda(tasks, runs, conditions.pause).view(now, conditions), now, conditions)


def started(decided: Plan) -> list[str]:
    """Return the ids of the queued runs that start."""
    return [run.run_id for run in decided.start]


def states(decided: Plan) -> list[tuple[str, RunState]]:
    """Return the task and the state of each claim."""
    return [(claim.task, claim.state) for claim in decided.claims]


# ── due instants ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_before_the_due_instant_the_plan_is_empty_and_has_a_wake_time() -> None:
    decided = decide([make_task()], [], at(9.9))
    assert not decided
    assert decided.wake_at == at(10)


def test_a_due_instant_is_claimed_with_the_next_instant() -> None:
    [claim] = decide([make_task()], [], at(10)).claims
    assert (claim.scheduled_for, claim.next_at, claim.state) == (at(10), at(20), RunState.STARTING)
    assert (claim.build, claim.reason, claim.count) == ("b1", None, 1)


def test_tasks_are_claimed_in_due_order() -> None:
    tasks = [make_task("late", next_at=at(20)), make_task("early", next_at=at(10))]
    assert decide(tasks, [], at(25)).claimed_tasks == ["early", "late"]


def test_disabled_and_unbuilt_tasks_are_ignored() -> None:
    tasks = [make_task("disabled", next_at=None), make_task("unbuilt", schedule=None, next_at=None)]
    decided = decide(tasks, [], at(1000))
    assert not decided
    assert decided.wake_at is None


def test_after_the_last_instant_a_task_has_no_next_one() -> None:
    task = make_task(schedule=make_task().schedule.with_context(ScheduleContext(anchor=START, until=at(15))))  # type: ignore[union-attr]
    decided = decide([task], [], at(12))
    assert (decided.claims[0].next_at, decided.wake_at) == (None, None)


def test_a_weekly_task_is_caught_up_days_later() -> None:
    schedule = on.friday.at("22:00").with_context(ScheduleContext(zone="Africa/Nairobi"))
    due = schedule.next_after(START)
    assert due is not None
    [claim] = decide([make_task(schedule=schedule, next_at=due)], [], due + timedelta(days=3)).claims
    assert (claim.state, claim.scheduled_for) == (RunState.STARTING, due)
    assert claim.reason == reason(Code.CAUGHT_UP, late=timedelta(days=3))
    assert claim.next_at == due + timedelta(days=7)


# ── skipped and missed instants ──────────────────────────────────────────────────────────────────────────────────────


def test_an_instant_during_a_live_run_is_skipped() -> None:
    [claim] = decide([make_task()], [running()], at(10)).claims
    assert (claim.state, claim.reason) == (RunState.SKIPPED, reason(Code.STILL_RUNNING, since=START))


def test_an_instant_while_a_retry_is_pending_is_skipped() -> None:
    task = make_task_with_policy(retry=Retry(tries=3, delay=60))
    [claim] = decide([task], [queued(30, trigger=Trigger.RETRY, attempt=2)], at(10)).claims
    assert (claim.state, claim.reason) == (RunState.SKIPPED, reason(Code.RETRY_PENDING, attempt=2, tries=3, at=at(30)))


def test_a_pause_of_the_task_or_of_the_system_skips() -> None:
    [claim] = decide([make_task(pause=PAUSE)], [], at(10)).claims
    assert (claim.state, claim.reason) == (RunState.SKIPPED, paused(PAUSE, is_global=False))
    [claim] = decide([make_task()], [], at(10), Conditions(pause=PAUSE)).claims
    assert claim.reason == reason(Code.PAUSED, since=at(1), by="keiji", note="moving house", all=True)
    assert claim.next_at == at(20)


def test_a_held_task_skips() -> None:
    [claim] = decide([make_task(held_at=at(3), failures=2)], [], at(10)).claims
    assert (claim.state, claim.reason) == (RunState.SKIPPED, reason(Code.HELD, since=at(3), failures=2))


def test_while_the_runner_is_stopped_due_instants_are_missed_and_queued_runs_wait() -> None:
    decided = decide([make_task()], [queued(5, slug="other")], at(16), Conditions(can_run=False))
    assert states(decided) == [("ping", RunState.MISSED)]
    assert started(decided) == []


def test_due_instants_wait_while_the_runner_restarts() -> None:
    decided = decide([make_task()], [], at(12), Conditions(can_run=False))
    assert not decided
    assert decided.wake_at == at(15)


# ── overlap ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_overlap_queue_queues_until_the_queue_is_full() -> None:
    task = make_task_with_policy(overlap="queue", queue=2)
    [claim] = decide([task], [running()], at(10)).claims
    assert (claim.state, claim.due_at) == (RunState.QUEUED, at(10))
    assert claim.reason == reason(Code.WAITING_FOR_PREVIOUS)
    [claim] = decide([task], [running(), queued(1), queued(2, "q2")], at(10)).claims
    assert claim.state is RunState.SKIPPED
    assert claim.reason == QUEUE_FULL


def test_queued_runs_start_in_due_order_one_at_a_time() -> None:
    waiting = [queued(3, "q3"), queued(1, "q1"), queued(2, "q2")]
    assert started(decide([make_task_with_policy(overlap="queue")], waiting, at(5))) == ["q1"]


def test_a_replacement_waits_for_the_old_run_to_stop() -> None:
    task = make_task_with_policy(overlap="replace")
    [claim] = decide([task], [running()], at(10)).claims
    assert (claim.state, claim.due_at) == (RunState.QUEUED, at(10))
    task = make_task_with_policy(overlap="replace", seconds=1000)
    decided = decide([task], [running(), queued(10)], at(10.1))
    assert decided.stop == (("r1", reason(Code.REPLACED, due=at(10))),)
    assert started(decided) == []
    assert started(decide([task], [queued(10)], at(10.2))) == ["q1"]


def test_a_replacement_skips_queued_runs() -> None:
    decided = decide([make_task_with_policy(overlap="replace")], [running(), queued(5)], at(10))
    assert [(run.run_id, why) for run, why in decided.skip] == [("q1", reason(Code.REPLACED, due=at(10)))]


def test_runs_queued_behind_a_pending_retry_wait() -> None:
    retry = queued(60, "q1", trigger=Trigger.RETRY, attempt=2)
    task = make_task_with_policy(overlap="queue", seconds=1000)
    assert started(decide([task], [retry, queued(5, "q2")], at(6))) == []
    assert started(decide([task], [retry, queued(5, "q2")], at(60))) == ["q2"]


def test_overlap_allow_bounds_the_queue_too() -> None:
    task = make_task_with_policy(overlap="allow", max_parallel=1, queue=2)
    [claim] = decide([task], [running(), queued(1), queued(2, "q2")], at(10)).claims
    assert claim.state is RunState.SKIPPED
    assert claim.reason == QUEUE_FULL


def test_queued_runs_start_before_instants_that_are_due_now() -> None:
    decided = decide([make_task_with_policy(overlap="allow", max_parallel=1)], [queued(1)], at(10))
    assert started(decided) == ["q1"]
    assert states(decided) == [("ping", RunState.QUEUED)]


def test_a_retry_replaces_nothing() -> None:
    retry = queued(5, trigger=Trigger.RETRY, attempt=2)
    assert decide([make_task_with_policy(overlap="replace", seconds=1000)], [running(), retry], at(10)).stop == ()


def test_overlap_allow_starts_runs_up_to_max_parallel() -> None:
    assert states(decide([make_task_with_policy(overlap="allow")], [running()], at(10))) == [
        ("ping", RunState.STARTING)
    ]
    limited = make_task_with_policy(overlap="allow", max_parallel=2)
    assert states(decide([limited], [running()], at(10))) == [("ping", RunState.STARTING)]
    [claim] = decide([limited], [running(), running("r2")], at(10)).claims
    assert (claim.state, claim.reason) == (RunState.QUEUED, reason(Code.PARALLEL_LIMIT, live=2, limit=2))
    limited = make_task_with_policy(overlap="allow", max_parallel=2, seconds=99)
    assert started(decide([limited], [running(), queued(1)], at(9))) == ["q1"]


# ── queued runs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_started_after_an_instant_is_not_said_to_be_still_running_then() -> None:
    late = make_run(RunState.RUNNING, scheduled_for=at(0), started_at=at(10.5))
    [claim] = decide([make_task()], [late], at(11)).claims
    assert (claim.state, claim.reason) == (RunState.SKIPPED, reason(Code.STARTED_MEANWHILE, at=at(10.5)))


def test_a_queued_run_starts_at_its_due_time() -> None:
    task = make_task(seconds=1000)
    assert started(decide([task], [queued(5)], at(4))) == []
    assert decide([task], [queued(5)], at(4)).wake_at == at(5)
    assert started(decide([task], [queued(5)], at(5))) == ["q1"]


def test_a_queued_run_waits_for_the_live_run_of_its_task() -> None:
    assert started(decide([make_task(seconds=1000)], [running(), queued(5)], at(6))) == []


def test_a_queued_run_waits_during_a_pause() -> None:
    assert started(decide([make_task(seconds=1000, pause=PAUSE)], [queued(5)], at(6))) == []
    assert started(decide([make_task(seconds=1000)], [queued(5)], at(6), Conditions(pause=PAUSE))) == []


def test_while_a_task_is_held_back_only_manual_queued_runs_start() -> None:
    held = make_task(seconds=1000, held_at=at(1), failures=3)
    assert started(decide([held], [queued(5)], at(6))) == []
    for task in (held, make_task(seconds=1000, pause=PAUSE), make_task(is_disabled=True, next_at=None)):
        assert started(decide([task], [queued(5, trigger=Trigger.MANUAL)], at(6))) == ["q1"]


def test_beyond_the_global_limit_runs_wait_in_due_order() -> None:
    tasks = [make_task(f"t{number}", next_at=at(10 - number)) for number in range(4)]
    decided = decide(tasks, [running(slug="other")], at(10), Conditions(max_parallel=3))
    assert states(decided) == [
        ("t3", RunState.STARTING),
        ("t2", RunState.STARTING),
        ("t1", RunState.QUEUED),
        ("t0", RunState.QUEUED),
    ]
    assert decided.claims[2].reason == reason(Code.WAITING_FOR_SLOT, limit=3)
    assert decided.claims[2].due_at == at(9)


def test_a_run_that_waited_for_a_slot_starts_before_later_instants() -> None:
    tasks = [make_task("new"), make_task("old", seconds=1000)]
    decided = decide(tasks, [queued(5, slug="old")], at(10), Conditions(max_parallel=1))
    assert started(decided) == ["q1"]
    assert states(decided) == [("new", RunState.QUEUED)]


def test_jitter_delays_a_start_deterministically() -> None:
    task = make_task_with_policy(jitter=8)
    start = task.start_time(at(10))
    assert at(10) < start < at(18)
    assert start == make_task_with_policy(jitter=8).start_time(at(10)) != task.start_time(at(20))
    decided = decide([task], [], at(10))
    [claim] = decided.claims
    assert (claim.state, claim.scheduled_for, claim.due_at) == (RunState.QUEUED, at(10), start)
    assert decided.wake_at == start
    assert claim.reason == reason(Code.JITTER, at=start)


def test_catching_up_many_tasks_is_staggered() -> None:
    tasks = [make_task(f"t{number:02}", seconds=7200) for number in range(BURST * 2 + 5)]
    decided = decide(tasks, [], at(10_000))
    starting = [claim for claim in decided.claims if claim.state is RunState.STARTING]
    waiting = [claim.due_at for claim in decided.claims if claim.state is RunState.QUEUED]
    assert len(starting) == BURST
    assert waiting == [at(10_001)] * BURST + [at(10_002)] * 5
    late = reason(Code.CAUGHT_UP, late=timedelta(seconds=2800))
    assert all(claim.reason == late for claim in starting)
    for claim in decided.claims[BURST:]:
        assert claim.reason == late.with_cause(reason(Code.STAGGERED, at=claim.due_at))


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace", "allow"])
def test_catch_up_all_is_staggered_in_due_order(overlap: str) -> None:
    tasks = [
        make_task_with_policy(f"t{number:02}", seconds=3600, catch_up="all", catch_up_cap=5, overlap=overlap)
        for number in range(BURST * 3)
    ]
    now = at(50_000)
    decided = decide(tasks, [], now)
    starting = [claim for claim in decided.claims if claim.state is RunState.STARTING]
    assert len(starting) == BURST
    for task in tasks:
        own = [claim for claim in decided.claims if claim.task == task.slug and not is_closed(claim)]
        times = [max(claim.due_at or now, now) for claim in own]
        assert times == sorted(times), "a later instant must not start before an earlier one"


def is_closed(claim: Claim) -> bool:
    """Return whether a claim accounts for an instant that does not run."""
    return claim.state in {RunState.MISSED, RunState.COALESCED}


@pytest.mark.parametrize(("catch_up", "expected"), [("latest", 1), ("none", 1), ("earliest", 1), ("all", 3)])
def test_a_backlog_that_takes_several_plans_is_caught_up_as_one(catch_up: str, expected: int) -> None:
    schedule = cron("* * * * * *").with_context(ScheduleContext())
    task = make_task_with_policy(catch_up=catch_up, catch_up_cap=3, overlap="queue")
    task = replace(task, schedule=schedule, next_at=at(1))
    now, launched, count, plans = at(MAX_INSTANTS * 2.5), 0, 0, 0
    while task.next_at is not None and task.next_at <= now:
        decided = decide([task], [], now)
        started = [claim for claim in decided.claims if not is_closed(claim)]
        launched += len(started)
        count += sum(claim.count for claim in decided.claims)
        task = replace(task, next_at=decided.claims[0].next_at, last_at=now if started else task.last_at)
        plans += 1
    assert (launched, count, plans) == (expected, MAX_INSTANTS * 2.5, 3)


def test_tasks_that_catch_up_share_the_budget_of_a_plan() -> None:
    schedule = cron("* * * * *").with_context(ScheduleContext())
    tasks = [replace(make_task(f"t{number}"), schedule=schedule, next_at=at(60)) for number in range(20)]
    decided = decide(tasks, [], at(60 * 5000))
    counts = {task.slug: sum(claim.count for claim in decided.claims if claim.task == task.slug) for task in tasks}
    assert sum(counts.values()) == MAX_INSTANTS
    assert set(counts.values()) == {MAX_INSTANTS // 20}


def test_a_share_of_the_budget_changes_neither_what_runs_nor_which_instants_have_rows() -> None:
    schedule = cron("* * * * *").with_context(ScheduleContext())
    policies = {"all": Policy(catch_up="all", catch_up_cap=10, overlap="queue"), "latest": Policy()}
    tasks = {
        f"{catch_up}{number}": make_task(f"{catch_up}{number}", schedule=schedule, policy=policy, next_at=at(60))
        for catch_up, policy in policies.items()
        for number in range(20)
    }
    last = 60 * (MAX_INSTANTS // len(tasks) + 5)
    claims: list[Claim] = []
    while decided := decide(list(tasks.values()), [], at(last + 30)):
        claims += decided.claims
        for claim in decided.claims:
            tasks[claim.task] = replace(tasks[claim.task], next_at=claim.next_at)
    for slug in tasks:
        own = [claim for claim in claims if claim.task == slug]
        assert sum(claim.count for claim in own) == last // 60
        runs = [claim.scheduled_for for claim in own if not is_closed(claim)]
        count = 10 if slug.startswith("all") else 1
        assert runs == [at(last - 60 * number) for number in reversed(range(count))]
        named = {claim.scheduled_for for claim in own if claim.count == 1}
        assert named >= {at(last - 60 * number) for number in range(INDIVIDUAL_ROWS)}


EVERY_SECOND = [
    cron("* * * * * *").with_context(ScheduleContext()),
    every(1).seconds.with_context(ScheduleContext(anchor=START)),
]


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(61, 3_000_000), st.sampled_from(EVERY_SECOND)), max_size=30), st.integers(0, 59))
def test_a_task_that_is_due_now_starts_in_the_first_plan_however_far_others_are_behind(
    gaps: list[tuple[int, Schedule]], late: int
) -> None:
    now = at(4_000_000)
    others = [
        make_task(f"a{number:02}", next_at=now - timedelta(seconds=gap), schedule=schedule)
        for number, (gap, schedule) in enumerate(gaps)
    ]
    task = make_task("z", 3600, next_at=now - timedelta(seconds=late))
    assert ("z", RunState.STARTING) in states(decide([*others, task], [], now))


def test_a_queued_run_that_is_on_time_starts_before_one_that_catches_up() -> None:
    tasks = [make_task("late", 10_000), make_task("punctual", 10_000)]
    late = queued(2, "q1", "late", scheduled_for=at(-5000), created_at=at(1))
    punctual = queued(3, "q2", "punctual", scheduled_for=at(3), created_at=at(3))
    assert started(decide(tasks, [late, punctual], at(4), Conditions(max_parallel=1))) == ["q2"]


def test_later_catch_ups_are_staggered_behind_earlier_ones() -> None:
    late = {"scheduled_for": at(-500), "created_at": at(9_999.5)}
    ahead = [queued(10_001 + number // BURST, f"q{number}", f"other{number}", **late) for number in range(BURST + 3)]
    [claim] = decide([make_task(seconds=7200)], ahead, at(10_000)).claims
    assert claim.due_at == at(10_001)
    [claim] = decide([make_task(seconds=7200)], ahead[: BURST - 1], at(10_000)).claims
    assert claim.state is RunState.STARTING


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────

policies = st.builds(
    Policy,
    overlap=st.sampled_from(["skip", "queue", "replace", "allow"]),
    queue=st.integers(1, 3),
    max_parallel=st.none() | st.integers(1, 3),
    catch_up=st.sampled_from(["latest", "none", "earliest", "all"]),
    catch_up_window=st.none() | st.integers(1, 5000),
    catch_up_cap=st.integers(1, 20),
    jitter=st.sampled_from([0, 30]),
)


@st.composite
def tasks_with_runs(draw: st.DrawFn) -> tuple[list[Task], list[Run]]:
    """Tasks with any policy, and live or queued runs of them."""
    tasks, runs = [], []
    for number in range(draw(st.integers(1, 5))):
        slug = f"t{number}"
        held = draw(st.sampled_from([None, None, None, at(2)]))
        pause = draw(st.sampled_from([None, None, None, PAUSE]))
        tasks.append(make_task(slug, draw(st.integers(1, 400)), policy=draw(policies), held_at=held, pause=pause))
        for other in range(draw(st.integers(0, 2))):
            kind = draw(
                st.sampled_from([running, lambda run_id, slug: queued(draw(st.integers(0, 900)), run_id, slug)])
            )
            runs.append(kind(f"{slug}-{other}", slug))
    return tasks, runs


@given(tasks_with_runs(), st.integers(0, 1000), st.none() | st.integers(1, 3), st.booleans())
def test_each_due_instant_is_accounted_for_once_and_limits_hold(
    state: tuple[list[Task], list[Run]], seconds: int, limit: int | None, can_run: bool
) -> None:
    tasks, runs = state
    now = at(seconds)
    decided = decide(tasks, runs, now, Conditions(max_parallel=limit, can_run=can_run))
    for task in tasks:
        assert task.schedule is not None
        own = [claim for claim in decided.claims if claim.task == task.slug]
        due = due_instants(task, seconds)
        if (
            not can_run
            and task.held_at is None
            and task.pause is None
            and task.next_at
            and now - task.next_at < at(5) - at(0)
        ):
            assert own == [], "due instants wait while the runner restarts"
            continue
        assert sum(claim.count for claim in own) == len(due)
        assert len({claim.scheduled_for for claim in own}) == len(own)
        assert {claim.scheduled_for for claim in own} <= set(due)
        assert all(claim.next_at == task.schedule.next_after(now) for claim in own)
        assert all(claim.reason for claim in own if claim.state is not RunState.STARTING)
        live = [run for run in runs if run.task == task.slug and run.is_live]
        starting = [claim for claim in own if claim.state is RunState.STARTING]
        dequeued = [run for run in runs if run.task == task.slug and run.run_id in started(decided)]
        if starting or dequeued:
            assert can_run
            assert task.pause is None
            allowed = (task.policy.max_parallel or 99) if task.policy.overlap == "allow" else 1
            assert len(starting) + len(dequeued) + len(live) <= max(allowed, len(live) + 1)
            assert len(starting) + len(dequeued) <= max(allowed - len(live), 0)
    total = sum(claim.state is RunState.STARTING for claim in decided.claims) + len(decided.start)
    if limit is not None:
        assert total <= max(limit - sum(run.is_live for run in runs), 0)


def due_instants(task: Task, seconds: int) -> list[datetime]:
    """Return the due instants of an interval of whole seconds, found by trying each second."""
    assert task.schedule is not None
    return [at(moment) for moment in range(1, seconds + 1) if task.schedule.next_after(at(moment - 0.5)) == at(moment)]


@pytest.mark.parametrize("conditions", [Conditions(), Conditions(pause=PAUSE), Conditions(max_parallel=1)])
@settings(max_examples=40)
@given(state=tasks_with_runs(), seconds=st.integers(0, 1000))
def test_a_plan_does_not_depend_on_the_order_of_the_tasks(
    conditions: Conditions, state: tuple[list[Task], list[Run]], seconds: int
) -> None:
    tasks, runs = state
    assert decide(tasks, runs, at(seconds), conditions) == decide(list(reversed(tasks)), runs, at(seconds), conditions)
