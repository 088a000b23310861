"""Pruning the history, rows for several instants, pauses and holds, and a clock that is set back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from ledger_samples import EVERY_TEN, NOW, a_build, at, built_task, claim_of, ended, result_of, started
from repositories import Repositories

from keiji.policy import Policy
from keiji.reasons import Code, Reason, reason
from keiji.records import Claim, Pause
from keiji.schedule import ScheduleContext
from keiji.states import RunState

PAUSE = Pause(since=NOW, reason="moving [house] 計時", by="keiji")


def several(first: float, last: float, state: RunState = RunState.COALESCED, *, continues: bool = False) -> Claim:
    count = int((last - first) / 10) + 1
    return Claim(
        task="ping",
        scheduled_for=at(first),
        scheduled_until=at(last),
        count=count,
        next_at=at(last + 10),
        state=state,
        reason=reason(Code.COVERED_LATER),
        continues=continues,
    )


def queued_claim(seconds: float, why: Reason, due: float) -> Claim:
    return replace(claim_of("ping", seconds, RunState.QUEUED, why), due_at=at(due))


# ── pruning ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_old_runs_are_pruned_in_batches_and_open_runs_stay(store: Repositories) -> None:
    built_task(store)
    live = started(store, "ping", 10)
    for seconds in (20, 30, 40):
        ended(store, "ping", seconds)
    new = ended(store, "ping", 500)
    assert store.history.prune_before(at(400), 2) == 2
    assert store.history.prune_before(at(400), 2) == 1
    assert store.history.prune_before(at(400), 2) == 0
    assert {run.run_id for run in store.runs.latest("ping", 9)} == {live.run_id, new.run_id}


def test_old_completed_directives_are_pruned(store: Repositories) -> None:
    for name, moment in (("old", 0), ("pending", 0), ("new", 500)):
        store.directives.insert(name, "run", "ping", "", at(moment))
    for name in ("old", "new"):
        store.directives.complete(name, "done", b"{}", at(501))
    assert store.history.prune_before(at(400), 10) == 1
    assert [store.directives.get(name) is None for name in ("old", "pending", "new")] == [True, False, False]


def test_the_newest_runs_of_each_task_are_kept(store: Repositories) -> None:
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


def test_rows_that_never_ran_are_pruned_before_rows_that_did(store: Repositories) -> None:
    built_task(store)
    ran = [ended(store, "ping", seconds).run_id for seconds in (10, 20, 30)]
    for seconds in (40, 50, 60):
        store.runs.claim([claim_of("ping", seconds, RunState.SKIPPED)], at(seconds))
    assert store.history.prune_surplus("ping", 4, 9) == 2
    newest, *others = store.runs.latest("ping", 9)
    assert (newest.scheduled_for, [run.run_id for run in reversed(others)]) == (at(60), ran)
    assert store.history.prune_surplus("ping", 1, 9) == 3
    assert [run.run_id for run in store.runs.latest("ping", 9)] == ran[-1:]


# ── rows for several instants ────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_may_account_for_several_instants(store: Repositories) -> None:
    built_task(store)
    [run] = store.runs.claim([several(10, 100)], at(105))
    assert (run.count, run.scheduled_for, run.scheduled_until) == (10, at(10), at(100))
    assert store.runs.get(run.run_id) == run
    assert store.tasks.get("ping").next_at == at(110)


def test_a_row_is_extended_by_the_instants_that_follow_it(store: Repositories) -> None:
    built_task(store)
    [first] = store.runs.claim([several(10, 100, continues=True)], at(500))
    covered = reason(Code.COVERED, due=at(300))
    [row, last] = store.runs.claim(
        [replace(several(110, 200, continues=True), reason=covered), claim_of("ping", 210, RunState.COALESCED)], at(500)
    )
    assert (row.run_id, row.count, row.scheduled_for, row.scheduled_until) == (first.run_id, 20, at(10), at(200))
    assert (row.reason, last.scheduled_for) == (covered, at(210))
    assert store.tasks.get("ping").next_at == at(220)


def test_a_row_is_not_extended_across_a_gap_or_with_another_state_or_reason(store: Repositories) -> None:
    built_task(store)
    store.runs.claim([several(10, 100, RunState.SKIPPED, continues=True)], at(900))
    store.runs.claim([several(120, 200, RunState.SKIPPED, continues=True)], at(900))
    store.runs.claim([several(210, 300, RunState.MISSED, continues=True)], at(900))
    other = replace(several(310, 400, RunState.MISSED, continues=True), reason=reason(Code.RUNNER_STOPPED))
    store.runs.claim([other], at(900))
    assert len(store.runs.latest("ping", 9)) == 4


def test_a_queued_run_has_a_due_time_and_can_be_skipped(store: Repositories) -> None:
    built_task(store)
    jitter, replaced = reason(Code.JITTER, at=at(13)), reason(Code.REPLACED, due=at(20))
    [run] = store.runs.claim([queued_claim(10, jitter, due=13)], at(10))
    assert (run.state, run.due_at, run.reason) == (RunState.QUEUED, at(13), jitter)
    assert store.tasks.get("ping").last_at is None
    skipped = store.runs.skip_queued(run.run_id, replaced, at(12))
    assert (skipped.state, skipped.reason, skipped.finished_at) == (RunState.SKIPPED, replaced, at(12))
    assert store.runs.open() == []


def test_a_start_clears_the_reason_for_waiting_and_an_end_keeps_that_of_catching_up(store: Repositories) -> None:
    built_task(store)
    [run] = store.runs.claim([queued_claim(10, reason(Code.WAITING_FOR_SLOT, limit=1), due=10)], at(10))
    assert store.runs.start_queued(run.run_id, at(15)).reason is None
    caught_up = reason(Code.CAUGHT_UP, late=5)
    [run] = store.runs.claim([claim_of("ping", 20, RunState.STARTING, caught_up)], at(25))
    done, _ = store.runs.finish(result_of(run, RunState.SUCCEEDED, 26))
    assert done.reason == caught_up


# ── pauses and holds ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_pauses_of_a_task_and_of_the_system_are_set_and_cleared(store: Repositories) -> None:
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


def test_consecutive_failures_hold_a_task_if_its_policy_says_so(store: Repositories) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    store.tasks.activate("ping", a_build(policy=Policy(hold_after=2)), EVERY_TEN, at(10), now=NOW)
    ended(store, "ping", 10, RunState.FAILED)
    assert (store.tasks.get("ping").failures, store.tasks.get("ping").held_at) == (1, None)
    ended(store, "ping", 20, RunState.SUCCEEDED)
    assert store.tasks.get("ping").failures == 0
    for seconds in (30, 40, 50):
        ended(store, "ping", seconds, RunState.FAILED)
    task = store.tasks.get("ping")
    assert (task.failures, task.held_at) == (3, at(41))
    ended(store, "ping", 60, RunState.SUCCEEDED)
    held = store.tasks.get("ping")
    assert held.held_at == at(41), "a hold lasts until it is resolved"
    assert (held.failures, held.is_error, held.error) == (3, True, task.error)
    resolved = store.tasks.resolve("ping")
    assert (resolved.failures, resolved.held_at, resolved.is_error) == (0, None, False)


def test_without_hold_after_failures_are_counted_and_the_task_is_not_held(store: Repositories) -> None:
    built_task(store)
    for seconds in (10, 20, 30):
        ended(store, "ping", seconds, RunState.TIMED_OUT)
    assert (store.tasks.get("ping").failures, store.tasks.get("ping").held_at) == (3, None)


# ── the clock is set back ────────────────────────────────────────────────────────────────────────────────────────────


def rows(store: Repositories) -> list[tuple[float, int, RunState]]:
    """Return the first instant of each row in seconds after NOW, the number of its instants, and its state."""
    found = [run for run in store.runs.latest("ping", 99) if run.scheduled_for is not None]
    return sorted(
        ((run.scheduled_for - NOW).total_seconds(), run.count, run.state) for run in found if run.scheduled_for
    )


def reach(store: Repositories, *claims: Claim, ahead_until: float = 200) -> list[datetime | None]:
    """Claim instants after the clock was set back from ``ahead_until``; return those that were claimed."""
    claimed = store.runs.claim(claims, claims[-1].scheduled_for, ahead_until=at(ahead_until))
    return [run.scheduled_for for run in claimed]


def test_an_instant_that_never_ran_gives_way_when_it_is_reached_again(store: Repositories) -> None:
    built_task(store)
    ran = ended(store, "ping", 60)
    store.runs.claim([claim_of("ping", seconds, RunState.SKIPPED) for seconds in (70, 80)], at(80))
    assert reach(store, claim_of("ping", 60)) == [], "an occurrence that ran does not run again"
    assert reach(store, claim_of("ping", 70)) == [at(70)]
    assert rows(store) == [(60, 1, RunState.SUCCEEDED), (70, 1, RunState.STARTING), (80, 1, RunState.SKIPPED)]
    assert store.runs.get(ran.run_id) == ran


def test_without_a_set_back_no_row_gives_way(store: Repositories) -> None:
    built_task(store)
    store.runs.claim([claim_of("ping", 70, RunState.SKIPPED)], at(70))
    assert store.runs.claim([claim_of("ping", 70)], at(70)) == []
    assert reach(store, claim_of("ping", 70), ahead_until=50) == []


def test_a_row_for_several_instants_loses_those_that_are_reached_again(store: Repositories) -> None:
    built_task(store)
    store.runs.claim([several(10, 120)], at(125))
    assert reach(store, claim_of("ping", 60)) == [at(60)]
    assert rows(store) == [(10, 5, RunState.COALESCED), (60, 1, RunState.STARTING), (70, 6, RunState.COALESCED)]
    reach(store, claim_of("ping", 70, RunState.SKIPPED))
    assert rows(store)[2:] == [(70, 1, RunState.SKIPPED), (80, 5, RunState.COALESCED)]
    reach(store, several(80, 110, RunState.MISSED))
    assert rows(store)[3:] == [(80, 4, RunState.MISSED), (120, 1, RunState.COALESCED)]


def test_a_row_for_several_instants_leaves_out_what_ran(store: Repositories) -> None:
    built_task(store)
    for seconds in (10, 30):
        ended(store, "ping", seconds)
    reach(store, several(10, 50))
    assert rows(store) == [(10, 1, RunState.SUCCEEDED), (20, 3, RunState.COALESCED), (30, 1, RunState.SUCCEEDED)]
    assert reach(store, several(10, 10)) == []


def test_an_interval_that_counts_from_another_moment_replaces_the_rows_of_the_time_that_passes(
    store: Repositories,
) -> None:
    built_task(store)
    store.runs.claim([several(10, 60)], at(65))
    store.tasks.reschedule("ping", EVERY_TEN.with_context(ScheduleContext(anchor=at(5))), at(15))
    reach(store, replace(claim_of("ping", 15), next_at=at(25)))
    assert rows(store) == [(15, 1, RunState.STARTING), (20, 5, RunState.COALESCED)]
    reach(store, replace(claim_of("ping", 25), next_at=at(35)))
    assert rows(store)[1:] == [(25, 1, RunState.STARTING), (30, 4, RunState.COALESCED)]


def test_the_next_instant_is_one_that_has_not_run(store: Repositories) -> None:
    built_task(store)
    for seconds in (20, 30):
        ended(store, "ping", seconds)
    store.runs.claim([claim_of("ping", 40, RunState.SKIPPED)], at(40))
    reach(store, claim_of("ping", 10))
    assert store.tasks.get("ping").next_at == at(40)
    assert store.tasks.reschedule("ping", EVERY_TEN, at(20)).next_at == at(40)
    assert store.tasks.enable("ping", EVERY_TEN, at(20)).next_at == at(40)
    assert store.tasks.activate("ping", a_build("b"), EVERY_TEN, at(20), now=NOW).next_at == at(40)
    assert store.runs.instants_after("ping", at(20)) == {at(30)}


def test_a_set_back_keeps_the_remaining_wait_of_queued_runs(store: Repositories) -> None:
    built_task(store)
    store.runs.finish(result_of(started(store, "ping", 10), RunState.FAILED, 11), retry_at=at(90))
    [shortened] = store.runs.shorten_waits(at(-1000), at(30))
    assert shortened.due_at == at(-1000 + 60)
    assert store.runs.shorten_waits(at(100), at(200)) == []


def test_the_newest_moment_is_that_of_the_newest_record(store: Repositories) -> None:
    built_task(store)
    assert store.history.newest_moment() == NOW
    ended(store, "ping", 10)
    assert store.history.newest_moment() == at(10)
    store.directives.insert("d", "run", "ping", "", at(20))
    assert store.history.newest_moment() == at(20)
    store.runs.claim([claim_of("ping", 30)], at(30))
    assert store.history.newest_moment() == at(30)


def test_active_builds_are_those_activated_last(store: Repositories) -> None:
    built_task(store, "ping")
    store.tasks.create("new", "new", "", NOW)
    store.tasks.activate("ping", a_build("b"), EVERY_TEN, at(10), now=NOW + timedelta(seconds=1))
    assert store.tasks.active_builds() == {"ping": a_build("b")}
