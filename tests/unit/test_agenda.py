"""The agenda: it agrees with a full scan after any changes, and what a plan gets does not grow with the backlog."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from planning import at, make_agenda, make_run, make_task, make_task_with_policy, queued, running

from keiji.policy import Policy
from keiji.records import Pause, Run, Task
from keiji.states import REQUESTED, RunState, Trigger
from keiji_engine.scheduler.agenda import MAX_BEHIND, MAX_DUE
from keiji_engine.scheduler.model import Conditions, is_held_back
from keiji_engine.scheduler.planner import plan
from keiji_engine.scheduler.task_runs import TaskRuns

PAUSE = Pause(since=at(0))
SLUGS = ("one", "two", "three")

policies = st.builds(
    Policy, overlap=st.sampled_from(["skip", "queue", "replace", "allow"]), max_parallel=st.sampled_from([None, 1, 2])
)
tasks = st.builds(
    lambda slug, policy, next_at, pause: make_task(slug, policy=policy, next_at=next_at, pause=pause),
    st.sampled_from(SLUGS),
    policies,
    st.none() | st.integers(0, 300).map(at),
    st.sampled_from([None, None, PAUSE]),
)


def open_run(number: int, slug: str, trigger: Trigger, due: int, state: RunState) -> Run:
    attempt = 2 if trigger is Trigger.RETRY else 1
    instant = None if trigger is Trigger.MANUAL else at(due - 100 * (number % 2))
    values = {
        "trigger": trigger,
        "attempt": attempt,
        "scheduled_for": instant,
        "created_at": at(due),
        "due_at": at(due),
    }
    return make_run(state, f"r{number}", slug, **values)


runs = st.builds(
    open_run,
    st.integers(0, 9),
    st.sampled_from(SLUGS),
    st.sampled_from(Trigger),
    st.integers(0, 300),
    st.sampled_from([RunState.QUEUED, RunState.QUEUED, RunState.STARTING, RunState.RUNNING]),
)
ends = st.integers(0, 9).map(lambda number: f"r{number}")
pauses = st.sampled_from([None, PAUSE])
conditions = st.builds(
    Conditions, can_run=st.sampled_from([True, True, False]), max_parallel=st.sampled_from([None, 1, 3])
)


def ready(task: Task, own: list[Run], pause: Pause | None, seconds: int) -> list[Run]:
    """Return the queued runs of a task that the planner may start, found by looking at all of them."""
    live = [run for run in own if run.is_live]
    waiting = [run for run in own if not run.is_live and run.trigger is not Trigger.BACKFILL]
    limit = len(own) if task.policy.overlap == "allow" else 1
    if task.policy.overlap == "allow" and task.policy.max_parallel is not None:
        limit = task.policy.max_parallel
    due = [run for run in waiting if run.due_at is not None and run.due_at <= at(seconds)]
    is_blocked = task.policy.overlap != "allow" and any(run.attempt > 1 and run not in due for run in waiting)
    if is_blocked or is_held_back(task, pause):
        due = [run for run in due if run.trigger in REQUESTED]
    in_order = sorted(due, key=lambda run: (run.due_at, run.run_id))
    return in_order[: max(limit - len(live), 0)]


@given(st.lists(tasks | runs | ends | pauses, max_size=60), st.integers(0, 400), conditions)
def test_the_agenda_agrees_with_a_full_scan_after_any_changes(
    changes: list[Task | Run | str | Pause | None], seconds: int, conditions: Conditions
) -> None:
    known = {slug: make_task(slug) for slug in SLUGS}
    open_runs: dict[str, Run] = {}
    pause: Pause | None = None
    agenda = make_agenda(list(known.values()))
    for change in changes:
        if isinstance(change, Task):
            known[change.slug] = change
            agenda.set_task(change)
        elif isinstance(change, Run):
            owner = open_runs.get(change.run_id, change).task
            open_runs[change.run_id] = run = replace(change, task=owner)
            agenda.set_run(run)
        elif isinstance(change, str):
            open_runs.pop(change, None)
            agenda.remove_run(change)
        else:
            pause = change
            agenda.set_pause(pause)
    conditions = replace(conditions, pause=pause)
    fresh = make_agenda(list(known.values()), list(open_runs.values()), pause)
    assert agenda.view(at(seconds), conditions) == fresh.view(at(seconds), conditions)
    assert dict(agenda.live) == {run_id: run for run_id, run in open_runs.items() if run.is_live}
    assert {run_id for run_id in open_runs if agenda.run(run_id) == open_runs[run_id]} == open_runs.keys()

    idle = {slug: replace(task, next_at=None) for slug, task in known.items()}
    quiet = make_agenda(list(idle.values()), list(open_runs.values()), pause)
    started = plan(quiet.view(at(seconds), conditions), at(seconds), conditions).start
    expected = [
        run
        for task in idle.values()
        for run in ready(task, [run for run in open_runs.values() if run.task == task.slug], pause, seconds)
    ]
    if not conditions.can_run:
        assert started == ()
        return
    free = len(expected)
    if conditions.max_parallel is not None:
        free = max(conditions.max_parallel - len(agenda.live), 0)
    assert len(started) == min(free, len(expected))
    assert {run.run_id for run in started} <= {run.run_id for run in expected}


def test_what_a_plan_gets_does_not_grow_with_the_backlog() -> None:
    behind = [make_task(f"behind{number:04}", next_at=at(-1000)) for number in range(1000)]
    due = [make_task(f"due{number:04}", next_at=at(0)) for number in range(1000)]
    waiting = [make_task(f"waits{number:04}", next_at=None) for number in range(1000)]
    agenda = make_agenda(
        [*behind, *due, *waiting],
        [*(queued(-1, f"q{task.slug}", task.slug) for task in waiting), running("live", "waits0000")],
    )
    view = agenda.view(at(0), Conditions(max_parallel=4))
    assert (len(view.due), len(view.behind), len(view.waiting)) == (MAX_DUE, MAX_BEHIND, 3)
    assert agenda.view(at(0), Conditions(max_parallel=1)).waiting == ()
    assert agenda.view(at(0), Conditions(can_run=False)).waiting == ()


def test_a_long_queue_of_one_task_is_not_walked() -> None:
    task = make_task_with_policy(overlap="allow", max_parallel=1000, queue=1000)
    own = TaskRuns(queued(number, f"q{number:04}") for number in range(1000))
    assert [run.run_id for run in own.startable(at(5000), 2, only_manual=False, in_turn=False)] == ["q0000", "q0001"]
    agenda = make_agenda([task], own)
    decided = plan(agenda.view(at(5000), Conditions(max_parallel=2)), at(5000), Conditions(max_parallel=2))
    assert [run.run_id for run in decided.start] == ["q0000", "q0001"]


def test_a_removed_task_leaves_nothing_behind() -> None:
    agenda = make_agenda([make_task()], [running(), queued(1, created_at=at(100), scheduled_for=at(1))])
    agenda.remove_task("ping")
    view = agenda.view(at(1000), Conditions())
    assert (view.due, view.behind, view.waiting, view.live, view.catching_up) == ((), (), (), 0, 0)
    assert agenda.run("r1") is None
    assert view.next_at is None


def test_an_overdue_queued_run_without_a_slot_needs_no_waking() -> None:
    agenda = make_agenda([make_task(next_at=None)], [queued(1), running("r1", "other")])
    assert agenda.view(at(5), Conditions(max_parallel=1)).next_at is None
    assert agenda.view(at(0), Conditions(max_parallel=2)).next_at == at(1)
    assert agenda.view(at(0) - timedelta(seconds=1), Conditions()).next_at == at(1)
