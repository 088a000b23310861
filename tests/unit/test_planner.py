"""What becomes of what is due: overlap, limits, pauses, holds, jitter, and what waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import START, a_task, at, queued, running, with_policy

from keiji.policy import Policy, Retry
from keiji.records import Pause, Run, Task
from keiji.schedule import ScheduleContext, cron, on
from keiji.states import RunState, Trigger
from keiji_engine.scheduler.backlog import MOST_AT_ONCE
from keiji_engine.scheduler.planner import BURST, Conditions, Plan, plan
from keiji_engine.storage.store import Claim

PAUSE = Pause(since=at(1), reason="moving house", by="keiji")


def ends(decided: Plan) -> list[tuple[str, RunState]]:
    return [(claim.task, claim.state) for claim in decided.claims]


# ── what is due ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_due_before_its_time_and_the_plan_says_when_to_wake() -> None:
    decided = plan([a_task()], [], at(9.9))
    assert not decided
    assert decided.wake_at == at(10)
    assert plan([a_task()], [], at(1), following=at(3)).wake_at == at(3)


def test_what_is_due_is_claimed_once_with_the_next_instant() -> None:
    [claim] = plan([a_task()], [], at(10)).claims
    assert (claim.scheduled_for, claim.next_at, claim.state) == (at(10), at(20), RunState.STARTING)
    assert (claim.build, claim.reason, claim.count) == ("b1", "", 1)


def test_what_is_due_is_claimed_in_due_order() -> None:
    tasks = [a_task("late", next_at=at(20)), a_task("early", next_at=at(10))]
    assert plan(tasks, [], at(25)).tasks == ["early", "late"]


def test_disabled_and_unbuilt_tasks_are_left_alone() -> None:
    tasks = [a_task("disabled", next_at=None), a_task("unbuilt", schedule=None, next_at=None)]
    decided = plan(tasks, [], at(1000))
    assert not decided
    assert decided.wake_at is None


def test_a_task_whose_last_instant_this_was_is_not_due_again() -> None:
    task = a_task(schedule=a_task().schedule.with_context(ScheduleContext(anchor=START, until=at(15))))  # type: ignore[union-attr]
    decided = plan([task], [], at(12))
    assert (decided.claims[0].next_at, decided.wake_at) == (None, None)


def test_a_weekly_task_that_was_missed_by_days_still_runs() -> None:
    schedule = on.friday.at("22:00").with_context(ScheduleContext(zone="Africa/Nairobi"))
    due = schedule.next_after(START)
    assert due is not None
    [claim] = plan([a_task(schedule=schedule, next_at=due)], [], due + timedelta(days=3)).claims
    assert (claim.state, claim.scheduled_for) == (RunState.STARTING, due)
    assert claim.reason == "caught up with: it was due 3 d before"
    assert claim.next_at == due + timedelta(days=7)


# ── what keeps a task from running ───────────────────────────────────────────────────────────────────────────────────


def test_a_task_that_still_runs_skips_and_says_since_when() -> None:
    [claim] = plan([a_task()], [running()], at(10)).claims
    assert (claim.state, claim.reason) == (RunState.SKIPPED, "still running since 2026-03-01 12:00:00 UTC")


def test_a_task_that_waits_to_be_tried_again_skips_and_says_when() -> None:
    task = with_policy(retry=Retry(tries=3, delay=60))
    [claim] = plan([task], [queued(30, trigger=Trigger.RETRY, attempt=2)], at(10)).claims
    assert (claim.state, claim.reason) == (RunState.SKIPPED, "attempt 2 of 3 is to come at 2026-03-01 12:00:30 UTC")


def test_a_pause_of_a_task_or_of_everything_skips_and_says_why() -> None:
    [claim] = plan([a_task(pause=PAUSE)], [], at(10)).claims
    assert (claim.state, claim.reason) == (RunState.SKIPPED, "paused since 2026-03-01 12:00:01 UTC: moving house")
    [claim] = plan([a_task()], [], at(10), Conditions(pause=PAUSE)).claims
    assert claim.reason == "paused with everything since 2026-03-01 12:00:01 UTC: moving house"
    assert claim.next_at == at(20)


def test_a_task_that_is_held_skips_until_somebody_resolves_it() -> None:
    [claim] = plan([a_task(held_at=at(3), failures=2)], [], at(10)).claims
    assert claim.state is RunState.SKIPPED
    assert claim.reason == "held since 2026-03-01 12:00:03 UTC, after 2 failures in a row, until somebody resolves it"


def test_without_a_runner_what_is_due_is_missed_and_what_is_queued_waits() -> None:
    decided = plan([a_task()], [queued(5, slug="other")], at(16), Conditions(can_run=False))
    assert ends(decided) == [("ping", RunState.MISSED)]
    assert decided.begin == ()


def test_a_runner_that_is_only_restarted_is_waited_for() -> None:
    decided = plan([a_task()], [], at(12), Conditions(can_run=False))
    assert not decided
    assert decided.wake_at == at(15)


# ── overlap ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_with_a_queue_what_is_due_waits_for_the_run_before_it_until_the_queue_is_full() -> None:
    task = with_policy(overlap="queue", queue=2)
    [claim] = plan([task], [running()], at(10)).claims
    assert (claim.state, claim.due_at, claim.reason) == (RunState.QUEUED, at(10), "waits for the run before it")
    [claim] = plan([task], [running(), queued(1), queued(2, "q2")], at(10)).claims
    assert claim.state is RunState.SKIPPED
    assert claim.reason.startswith("2 wait already, and its queue takes no more; still running since")


def test_what_is_queued_begins_in_due_order_one_at_a_time() -> None:
    waiting = [queued(3, "q3"), queued(1, "q1"), queued(2, "q2")]
    assert plan([with_policy(overlap="queue")], waiting, at(5)).begin == ("q1",)


def test_a_replacement_waits_while_the_old_run_is_stopped_and_begins_when_it_has_ended() -> None:
    task = with_policy(overlap="replace")
    [claim] = plan([task], [running()], at(10)).claims
    assert (claim.state, claim.due_at) == (RunState.QUEUED, at(10))
    task = with_policy(overlap="replace", seconds=1000)
    decided = plan([task], [running(), queued(10)], at(10.1))
    assert decided.stop == (("r1", "replaced by the one of 2026-03-01 12:00:10 UTC"),)
    assert decided.begin == ()
    assert plan([task], [queued(10)], at(10.2)).begin == ("q1",)


def test_a_replacement_takes_the_place_of_what_waits_too() -> None:
    decided = plan([with_policy(overlap="replace")], [running(), queued(5)], at(10))
    assert decided.give_up == (("q1", "replaced by the one of 2026-03-01 12:00:10 UTC"),)


def test_while_a_retry_is_to_come_what_is_queued_behind_it_waits() -> None:
    retry = queued(60, "q1", trigger=Trigger.RETRY, attempt=2)
    task = with_policy(overlap="queue", seconds=1000)
    assert plan([task], [retry, queued(5, "q2")], at(6)).begin == ()
    assert plan([task], [retry, queued(5, "q2")], at(60)).begin == ("q2",)


def test_a_queue_is_bounded_also_where_overlap_is_allowed() -> None:
    task = with_policy(overlap="allow", max_parallel=1, queue=2)
    [claim] = plan([task], [running(), queued(1), queued(2, "q2")], at(10)).claims
    assert claim.state is RunState.SKIPPED
    assert claim.reason.startswith("2 wait already, and its queue takes no more; still running since")


def test_what_waits_goes_before_what_is_due_in_the_same_moment() -> None:
    decided = plan([with_policy(overlap="allow", max_parallel=1)], [queued(1)], at(10))
    assert decided.begin == ("q1",)
    assert ends(decided) == [("ping", RunState.QUEUED)]


def test_a_retry_replaces_nothing() -> None:
    retry = queued(5, trigger=Trigger.RETRY, attempt=2)
    assert plan([with_policy(overlap="replace", seconds=1000)], [running(), retry], at(10)).stop == ()


def test_where_overlap_is_allowed_runs_go_on_beside_each_other_up_to_the_limit_of_the_task() -> None:
    assert ends(plan([with_policy(overlap="allow")], [running()], at(10))) == [("ping", RunState.STARTING)]
    limited = with_policy(overlap="allow", max_parallel=2)
    assert ends(plan([limited], [running()], at(10))) == [("ping", RunState.STARTING)]
    [claim] = plan([limited], [running(), running("r2")], at(10)).claims
    assert (claim.state, claim.reason) == (RunState.QUEUED, "2 of 2 runs are going on")
    assert plan([with_policy(overlap="allow", max_parallel=2, seconds=99)], [running(), queued(1)], at(9)).begin == (
        "q1",
    )


# ── what waits ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_queued_run_begins_when_its_time_has_come() -> None:
    task = a_task(seconds=1000)
    assert plan([task], [queued(5)], at(4)).begin == ()
    assert plan([task], [queued(5)], at(4)).wake_at == at(5)
    assert plan([task], [queued(5)], at(5)).begin == ("q1",)


def test_a_queued_run_waits_for_the_live_run_of_its_task() -> None:
    assert plan([a_task(seconds=1000)], [running(), queued(5)], at(6)).begin == ()


def test_a_queued_run_waits_while_there_is_a_pause() -> None:
    assert plan([a_task(seconds=1000, pause=PAUSE)], [queued(5)], at(6)).begin == ()
    assert plan([a_task(seconds=1000)], [queued(5)], at(6), Conditions(pause=PAUSE)).begin == ()


def test_a_queued_run_waits_while_its_task_is_held_but_what_somebody_asked_for_begins() -> None:
    held = a_task(seconds=1000, held_at=at(1), failures=3)
    assert plan([held], [queued(5)], at(6)).begin == ()
    for world in (held, a_task(seconds=1000, pause=PAUSE), a_task(is_disabled=True, next_at=None)):
        assert plan([world], [queued(5, trigger=Trigger.MANUAL)], at(6)).begin == ("q1",)


def test_beyond_the_limit_for_all_what_is_due_waits_in_due_order_and_says_so() -> None:
    tasks = [a_task(f"t{number}", next_at=at(10 - number)) for number in range(4)]
    decided = plan(tasks, [running(slug="other")], at(10), Conditions(max_parallel=3))
    assert ends(decided) == [
        ("t3", RunState.STARTING),
        ("t2", RunState.STARTING),
        ("t1", RunState.QUEUED),
        ("t0", RunState.QUEUED),
    ]
    assert decided.claims[2].reason == "waits for a slot: 3 runs are going on (MAX_PARALLEL_RUNS)"
    assert decided.claims[2].due_at == at(9)


def test_what_waited_for_a_slot_goes_before_what_is_due_later() -> None:
    tasks = [a_task("new"), a_task("old", seconds=1000)]
    decided = plan(tasks, [queued(5, slug="old")], at(10), Conditions(max_parallel=1))
    assert decided.begin == ("q1",)
    assert ends(decided) == [("new", RunState.QUEUED)]


def test_jitter_puts_a_start_off_by_what_task_and_instant_tell() -> None:
    task = with_policy(jitter=8)
    start = task.start_of(at(10))
    assert at(10) < start < at(18)
    assert start == with_policy(jitter=8).start_of(at(10)) != task.start_of(at(20))
    decided = plan([task], [], at(10))
    [claim] = decided.claims
    assert (claim.state, claim.scheduled_for, claim.due_at) == (RunState.QUEUED, at(10), start)
    assert decided.wake_at == start
    assert "jitter" in claim.reason


def test_after_a_long_stop_many_tasks_do_not_all_start_at_once() -> None:
    tasks = [a_task(f"t{number:02}", seconds=7200) for number in range(BURST * 2 + 5)]
    decided = plan(tasks, [], at(10_000))
    starting = [claim for claim in decided.claims if claim.state is RunState.STARTING]
    waiting = [claim.due_at for claim in decided.claims if claim.state is RunState.QUEUED]
    assert len(starting) == BURST
    assert waiting == [at(10_001)] * BURST + [at(10_002)] * 5
    assert all("others catch up as well" in claim.reason for claim in decided.claims if claim not in starting)


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace", "allow"])
def test_catching_up_with_all_is_spread_as_well_and_in_order(overlap: str) -> None:
    tasks = [
        with_policy(f"t{number:02}", seconds=3600, catch_up="all", catch_up_cap=5, overlap=overlap)
        for number in range(BURST * 3)
    ]
    now = at(50_000)
    decided = plan(tasks, [], now)
    starting = [claim for claim in decided.claims if claim.state is RunState.STARTING]
    assert len(starting) == BURST
    for task in tasks:
        mine = [claim for claim in decided.claims if claim.task == task.slug and not is_passed(claim)]
        times = [max(claim.due_at or now, now) for claim in mine]
        assert times == sorted(times), "a later instant must not start before an earlier one"


def is_passed(claim: Claim) -> bool:
    return claim.state in {RunState.MISSED, RunState.COALESCED}


@pytest.mark.parametrize(("catch_up", "expected"), [("latest", 1), ("none", 1), ("earliest", 1), ("all", 3)])
def test_a_stop_so_long_that_it_is_counted_in_pieces_is_still_one_stop(catch_up: str, expected: int) -> None:
    schedule = cron("* * * * * *").with_context(ScheduleContext())
    task = with_policy(catch_up=catch_up, catch_up_cap=3, overlap="queue")
    task = replace(task, schedule=schedule, next_at=at(1))
    now, launched, count, pieces = at(MOST_AT_ONCE * 2.5), 0, 0, 0
    while task.next_at is not None and task.next_at <= now:
        decided = plan([task], [], now)
        started = [claim for claim in decided.claims if not is_passed(claim)]
        launched += len(started)
        count += sum(claim.count for claim in decided.claims)
        task = replace(task, next_at=decided.claims[0].next_at, last_at=now if started else task.last_at)
        pieces += 1
    assert (launched, count, pieces) == (expected, MOST_AT_ONCE * 2.5, 3)


def test_no_plan_takes_long_what_is_left_has_the_next_turn() -> None:
    schedule = cron("* * * * *").with_context(ScheduleContext())
    tasks = [replace(a_task(f"t{number}"), schedule=schedule, next_at=at(60)) for number in range(20)]
    now = at(60 * 5000)
    decided = plan(tasks, [], now)
    assert 2 <= len(decided.tasks) <= 6
    assert decided.wake_at == now


def test_what_catches_up_later_lines_up_behind_those_that_do_already() -> None:
    late = {"scheduled_for": at(-500), "created_at": at(9_999.5)}
    ahead = [queued(10_001 + number // BURST, f"q{number}", f"other{number}", **late) for number in range(BURST + 3)]
    [claim] = plan([a_task(seconds=7200)], ahead, at(10_000)).claims
    assert claim.due_at == at(10_001)
    [claim] = plan([a_task(seconds=7200)], ahead[: BURST - 1], at(10_000)).claims
    assert claim.state is RunState.STARTING


# ── laws ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

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
def worlds(draw: st.DrawFn) -> tuple[list[Task], list[Run]]:
    """Tasks of every kind, with runs of theirs that are live or wait."""
    tasks, runs = [], []
    for number in range(draw(st.integers(1, 5))):
        slug = f"t{number}"
        held = draw(st.sampled_from([None, None, None, at(2)]))
        pause = draw(st.sampled_from([None, None, None, PAUSE]))
        tasks.append(a_task(slug, draw(st.integers(1, 400)), policy=draw(policies), held_at=held, pause=pause))
        for other in range(draw(st.integers(0, 2))):
            kind = draw(
                st.sampled_from([running, lambda run_id, slug: queued(draw(st.integers(0, 900)), run_id, slug)])
            )
            runs.append(kind(f"{slug}-{other}", slug))
    return tasks, runs


@given(worlds(), st.integers(0, 1000), st.none() | st.integers(1, 3), st.booleans())
def test_every_instant_up_to_now_is_accounted_for_once_and_limits_hold(
    world: tuple[list[Task], list[Run]], seconds: int, limit: int | None, can_run: bool
) -> None:
    tasks, runs = world
    now = at(seconds)
    decided = plan(tasks, runs, now, Conditions(max_parallel=limit, can_run=can_run))
    for task in tasks:
        assert task.schedule is not None
        mine = [claim for claim in decided.claims if claim.task == task.slug]
        due = list(iter_due(task, seconds))
        if (
            not can_run
            and task.held_at is None
            and task.pause is None
            and task.next_at
            and now - task.next_at < at(5) - at(0)
        ):
            assert mine == [], "a runner that is only restarted is waited for"
            continue
        assert sum(claim.count for claim in mine) == len(due)
        assert len({claim.scheduled_for for claim in mine}) == len(mine)
        assert {claim.scheduled_for for claim in mine} <= set(due)
        assert all(claim.next_at == task.schedule.next_after(now) for claim in mine)
        assert all(claim.reason for claim in mine if claim.state is not RunState.STARTING)
        live = [run for run in runs if run.task == task.slug and run.is_live]
        starting = [claim for claim in mine if claim.state is RunState.STARTING]
        begun = [run for run in runs if run.task == task.slug and run.run_id in decided.begin]
        if starting or begun:
            assert can_run
            assert task.pause is None
            allowed = (task.policy.max_parallel or 99) if task.policy.overlap == "allow" else 1
            assert len(starting) + len(begun) + len(live) <= max(allowed, len(live) + 1)
            assert len(starting) + len(begun) <= max(allowed - len(live), 0)
    total = sum(claim.state is RunState.STARTING for claim in decided.claims) + len(decided.begin)
    if limit is not None:
        assert total <= max(limit - sum(run.is_live for run in runs), 0)


def iter_due(task: Task, seconds: int) -> list[object]:
    assert task.schedule is not None
    return [at(moment) for moment in range(1, seconds + 1) if task.schedule.next_after(at(moment - 0.5)) == at(moment)]


@pytest.mark.parametrize("conditions", [Conditions(), Conditions(pause=PAUSE), Conditions(max_parallel=1)])
@given(world=worlds(), seconds=st.integers(0, 1000))
def test_the_same_world_gives_the_same_plan(
    conditions: Conditions, world: tuple[list[Task], list[Run]], seconds: int
) -> None:
    tasks, runs = world
    assert plan(tasks, runs, at(seconds), conditions) == plan(list(reversed(tasks)), runs, at(seconds), conditions)
