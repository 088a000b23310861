"""What is kept of the past, on either database: pruning, pauses, holds, and a clock that is set back."""

from __future__ import annotations

from datetime import datetime, timedelta

from ledger_samples import EVERY_TEN, NOW, a_build, at, built_task, claim_of, ended, result_of, started

from keiji.policy import Policy
from keiji.records import Pause
from keiji.states import RunState
from keiji_engine.storage.store import Claim, SetBack, Store

PAUSE = Pause(since=NOW, reason="moving [house] 計時", by="keiji")


def several(first: float, last: float, state: RunState = RunState.COALESCED) -> Claim:
    count = int((last - first) / 10) + 1
    return Claim(
        task="ping",
        scheduled_for=at(first),
        scheduled_until=at(last),
        count=count,
        next_at=at(last + 10),
        state=state,
        reason="not noticed",
    )


# ── pruning ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_old_goes_in_batches_and_what_is_open_stays(store: Store) -> None:
    built_task(store)
    live = started(store, "ping", 10)
    old = [ended(store, "ping", seconds) for seconds in (20, 30, 40)]
    new = ended(store, "ping", 500)
    assert store.history.prune_before(at(400), 2) == 2
    assert store.history.prune_before(at(400), 2) == 1
    assert store.history.prune_before(at(400), 2) == 0
    assert {run.run_id for run in store.runs.latest("ping", 9)} == {live.run_id, new.run_id}
    assert old[0].run_id not in {run.run_id for run in store.runs.latest("ping", 9)}


def test_directives_that_are_settled_grow_old_too(store: Store) -> None:
    for name, moment in (("old", 0), ("unsettled", 0), ("new", 500)):
        store.directives.insert(name, "run", "ping", "", at(moment))
    for name in ("old", "new"):
        store.directives.complete(name, "done", b"{}", at(501))
    assert store.history.prune_before(at(400), 10) == 1
    assert [store.directives.get(name) is None for name in ("old", "unsettled", "new")] == [True, False, False]


def test_of_each_task_the_newest_runs_stay(store: Store) -> None:
    built_task(store, "ping")
    built_task(store, "pong")
    runs = [ended(store, "ping", seconds) for seconds in range(10, 80, 10)]
    ended(store, "pong", 10)
    assert store.history.over_limit(["ping", "pong"], 3) == ["ping"]
    assert store.history.prune_surplus("ping", 3, 2) == 2
    assert store.history.prune_surplus("ping", 3, 9) == 2
    assert store.history.prune_surplus("ping", 3, 9) == 0
    assert [run.run_id for run in store.runs.latest("ping", 9)] == [run.run_id for run in reversed(runs[-3:])]
    assert len(store.runs.latest("pong", 9)) == 1
    assert store.history.over_limit(["ping", "pong"], 3) == []


# ── rows for several instants ────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_may_stand_for_several_instants(store: Store) -> None:
    built_task(store)
    [run] = store.runs.claim([several(10, 100)], at(105))
    assert (run.count, run.scheduled_for, run.scheduled_until) == (10, at(10), at(100))
    assert store.runs.get(run.run_id) == run
    assert store.tasks.get("ping").next_at == at(110)


def test_what_is_queued_knows_when_it_may_begin_and_can_be_given_up(store: Store) -> None:
    built_task(store)
    waits = Claim(
        task="ping", scheduled_for=at(10), next_at=at(20), state=RunState.QUEUED, reason="jitter", due_at=at(13)
    )
    [run] = store.runs.claim([waits], at(10))
    assert (run.state, run.due_at, run.reason) == (RunState.QUEUED, at(13), "jitter")
    assert store.tasks.get("ping").last_at is None
    skipped = store.runs.skip_queued(run.run_id, "replaced", at(12))
    assert (skipped.state, skipped.reason, skipped.finished_at) == (RunState.SKIPPED, "replaced", at(12))
    assert store.runs.open() == []


def test_what_began_no_longer_says_why_it_waited_but_still_that_it_was_caught_up_with(store: Store) -> None:
    built_task(store)
    waits = Claim(
        task="ping", scheduled_for=at(10), next_at=at(20), state=RunState.QUEUED, reason="slot", due_at=at(10)
    )
    [run] = store.runs.claim([waits], at(10))
    assert store.runs.start_queued(run.run_id, at(15)).reason == ""
    late = Claim(task="ping", scheduled_for=at(20), next_at=at(30), state=RunState.STARTING, reason="caught up with")
    [run] = store.runs.claim([late], at(25))
    done, _ = store.runs.finish(result_of(run, RunState.SUCCEEDED, 26))
    assert done.reason == "caught up with"


# ── pauses and holds ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_pauses_of_a_task_and_of_everything_are_remembered_and_forgotten(store: Store) -> None:
    built_task(store)
    assert store.tasks.set_pause("ping", PAUSE).pause == PAUSE
    assert store.tasks.get("ping").pause == PAUSE
    assert store.tasks.set_pause("ping", None).pause is None
    assert store.system.pause() is None
    store.system.set_pause(PAUSE)
    store.system.set_pause(PAUSE)
    assert store.system.pause() == PAUSE
    store.system.set_pause(None)
    assert store.system.pause() is None


def test_failures_in_a_row_hold_a_task_where_its_policy_says_so(store: Store) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    store.tasks.activate("ping", a_build(policy=Policy(hold_after=2)), EVERY_TEN, at(10), now=NOW)
    ended(store, "ping", 10, RunState.FAILED)
    assert (store.tasks.get("ping").failures, store.tasks.get("ping").held_at) == (1, None)
    ended(store, "ping", 20, RunState.SUCCEEDED)
    assert store.tasks.get("ping").failures == 0
    for seconds in (30, 40, 50):
        ended(store, "ping", seconds, RunState.FAILED)
    error = store.tasks.get("ping").error_text
    task = store.tasks.get("ping")
    assert (task.failures, task.held_at) == (3, at(41))
    ended(store, "ping", 60, RunState.SUCCEEDED)
    held = store.tasks.get("ping")
    assert held.held_at == at(41), "a hold lasts until somebody ends it"
    assert (held.failures, held.is_error, held.error_text) == (3, True, error)
    resolved = store.tasks.resolve("ping")
    assert (resolved.failures, resolved.held_at, resolved.is_error) == (0, None, False)


def test_without_a_limit_failures_are_counted_and_nothing_is_held(store: Store) -> None:
    built_task(store)
    for seconds in (10, 20, 30):
        ended(store, "ping", seconds, RunState.TIMED_OUT)
    assert (store.tasks.get("ping").failures, store.tasks.get("ping").held_at) == (3, None)


# ── the clock is set back ────────────────────────────────────────────────────────────────────────────────────────────


def recount(first: datetime) -> tuple[int, datetime]:
    """As a schedule of every ten seconds would count up to 55 seconds after NOW."""
    return int((at(55) - first).total_seconds() // 10) + 1, at(50)


def apply_set_back(next_at: datetime, slug: str = "ping") -> SetBack:
    return SetBack(slug, next_at, EVERY_TEN, at(60), recount)


def test_after_the_clock_was_set_back_what_did_not_run_is_due_again_and_what_ran_keeps_its_row(store: Store) -> None:
    built_task(store)
    store.runs.claim([several(10, 40)], at(45))
    ran = ended(store, "ping", 60)
    store.runs.claim([claim_of("ping", 70, RunState.SKIPPED, "busy"), several(80, 120)], at(125))
    [task] = store.history.apply_set_back(at(55), [apply_set_back(at(130))])
    assert task.next_at == at(60)
    assert [(run.scheduled_for, run.count) for run in reversed(store.runs.latest("ping", 9))] == [
        (at(10), 4),
        (at(60), 1),
    ]
    won = store.runs.claim([claim_of("ping", 60), claim_of("ping", 70)], at(71))
    assert [run.scheduled_for for run in won] == [at(70)], "what ran does not run again"
    assert store.runs.get(ran.run_id) == ran


def test_a_row_that_reaches_over_the_present_is_cut_there(store: Store) -> None:
    built_task(store)
    [row] = store.runs.claim([several(10, 120)], at(125))
    store.history.apply_set_back(at(55), [apply_set_back(at(130))])
    cut = store.runs.get(row.run_id)
    assert (cut.count, cut.scheduled_until) == (5, at(50))


def test_a_task_that_was_moved_meanwhile_or_is_gone_is_left_alone(store: Store) -> None:
    built_task(store)
    store.runs.claim([claim_of("ping", 70, RunState.SKIPPED, "busy")], at(70))
    assert store.history.apply_set_back(at(55), [apply_set_back(at(999)), apply_set_back(at(80), "gone")]) == []
    assert len(store.runs.latest("ping", 9)) == 1
    assert store.runs.instants_after("ping", at(55)) == {at(70)}
    assert store.runs.instants_after("ping", at(70)) == set()


def test_what_waits_for_a_moment_waits_no_longer_after_the_clock_was_set_back(store: Store) -> None:
    built_task(store)
    store.runs.finish(result_of(started(store, "ping", 10), RunState.FAILED, 11), retry_at=at(90))
    [hastened] = store.runs.shorten_waits(at(-1000), at(30))
    assert hastened.due_at == at(-1000 + 60)
    assert store.runs.shorten_waits(at(100), at(200)) == []


def test_the_newest_moment_is_that_of_the_newest_record(store: Store) -> None:
    built_task(store)
    assert store.history.newest_moment() == NOW
    ended(store, "ping", 10)
    assert store.history.newest_moment() == at(10)
    store.directives.insert("d", "run", "ping", "", at(20))
    assert store.history.newest_moment() == at(20)
    store.runs.claim([claim_of("ping", 30)], at(30))
    assert store.history.newest_moment() == at(30)


def test_active_builds_are_those_that_run(store: Store) -> None:
    built_task(store, "ping")
    store.tasks.create("new", "new", "", NOW)
    store.tasks.activate("ping", a_build("b"), EVERY_TEN, at(10), now=NOW + timedelta(seconds=1))
    assert store.tasks.active_builds() == {"ping": a_build("b")}
