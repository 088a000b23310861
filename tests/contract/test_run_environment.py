"""What a run knows about itself agrees with its row, and with the rows of the instants that it covers."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from test_plan_execution import STEP, add_task, at, execute, make_plan

from keiji.errors import AlreadyRunning
from keiji.policy import Retry
from keiji.records import Overrides, Run, RunResult
from keiji.run_context import run_variables
from keiji.states import LIVE, NEVER_STARTED, OPEN, RunState, Trigger
from keiji_engine.storage.store import Store
from keiji_engine.storage.transactions import request_run

ZONE = ZoneInfo("Europe/Berlin")
ROUNDS = 25


def environment_of(run: Run) -> dict[str, str]:
    return run_variables(run, task="one", build=Path("/build/src"), params=run.params, zone=ZONE)


def instants_by_state(runs: list[Run]) -> list[tuple[datetime, Run]]:
    """Return (instant, row) for each instant of the schedule, in order."""
    found = []
    for run in runs:
        if run.scheduled_for is not None and run.attempt == 1:
            first = run.scheduled_for
            found += [(first + timedelta(seconds=STEP * number), run) for number in range(run.count)]
    return sorted(found, key=lambda pair: pair[0])


def covered_by(run: Run, runs: list[Run], *, later: bool) -> list[datetime]:
    """Return the instants next to that of a run which were coalesced, and its own, in order."""
    instants = instants_by_state(runs)
    position = next(index for index, (_, row) in enumerate(instants) if row.scheduled_for == run.scheduled_for)
    others = instants[position + 1 :] if later else instants[:position][::-1]
    found = [instants[position][0]]
    for instant, row in others:
        if row.state is not RunState.COALESCED:
            break
        found.append(instant)
    return sorted(found)


@pytest.mark.parametrize("catch_up", ["latest", "earliest", "all"])
def test_the_environment_of_each_run_agrees_with_the_rows(store: Store, catch_up: str, seed: int) -> None:
    draw = random.Random(seed)
    expected: tuple[str | None, str | None]
    overlap = draw.choice(["skip", "queue", "replace", "allow"])
    add_task(store, "one", catch_up=catch_up, overlap=overlap, retry=Retry(tries=3, delay=5), catch_up_cap=3, queue=50)
    environments: dict[str, dict[str, str]] = {}
    covered: dict[datetime, list[datetime]] = {}  # by the instant of the run, when it is claimed
    now = at(0)
    for _ in range(ROUNDS):
        now += timedelta(seconds=draw.choice([3, STEP, 25, 90, 400]))
        if draw.random() < 0.2:
            due = draw.choice([None, now - timedelta(days=1)])
            params = {"day": draw.choice(["2026-11-01", "a b"])}
            _request(store, now, params, due)
        decided = make_plan(store, now)
        execute(store, decided, now)
        rows = store.read(lambda tx: tx.runs.latest("one", 10_000))
        for run in rows:
            if run.scheduled_for is not None and run.state in OPEN and run.scheduled_for not in covered:
                covered[run.scheduled_for] = covered_by(run, rows, later=catch_up == "earliest")
        for run in store.read(lambda tx: tx.runs.open()):
            if run.state in LIVE:
                environments.setdefault(run.run_id, environment_of(run))
                if draw.random() < 0.7:
                    _end(store, run, now, is_failure=draw.random() < 0.4)
    runs = store.read(lambda tx: tx.runs.latest("one", 10_000))
    by_id = {run.run_id: run for run in runs}
    assert any(run.trigger is Trigger.RETRY for run in runs), "nothing was retried"
    for run_id, environment in environments.items():
        run = by_id[run_id]
        assert run.state not in NEVER_STARTED
        assert environment["KEIJI_ATTEMPT"] == str(run.attempt)
        assert environment["KEIJI_TRIGGER"] == str(run.trigger)
        due = run.scheduled_for or (run.overrides.due if run.overrides else None)
        assert environment.get("KEIJI_DUE") == (due.astimezone(ZONE).isoformat() if due else None)
        assert environment.get("KEIJI_PARAM_DAY") == run.params.get("day")
        instants = covered[run.scheduled_for] if run.scheduled_for else []
        expected = (None, None)
        if len(instants) > 1:
            expected = (instants[0].astimezone(ZONE).isoformat(), str(len(instants)))
        assert (environment.get("KEIJI_DUE_FROM"), environment.get("KEIJI_DUE_COUNT")) == expected


def _request(store: Store, now: datetime, params: dict[str, str], due: datetime | None) -> None:
    overrides = Overrides(due=due) if due is not None else None
    try:
        store.write(request_run("one", now, None, params=params, overrides=overrides))
    except AlreadyRunning:
        return


def _end(store: Store, run: Run, now: datetime, *, is_failure: bool) -> None:
    state = RunState.FAILED if is_failure else RunState.SUCCEEDED
    retry_at = now + timedelta(seconds=5) if is_failure and run.attempt < 3 else None
    result = RunResult(run_id=run.run_id, state=state, finished_at=now)
    store.write(lambda tx: tx.runs.mark_running(run.run_id, now), lambda tx: tx.runs.finish(result, retry_at=retry_at))


def test_a_backlog_that_takes_several_plans_is_covered_by_one_run(store: Store) -> None:
    add_task(store, "one")
    now = at(STEP * 12_000)
    for _ in range(5):
        execute(store, make_plan(store, now), now)
    [run] = [run for run in store.read(lambda tx: tx.runs.open()) if run.state in LIVE]
    environment = environment_of(run)
    assert (environment["KEIJI_DUE_COUNT"], environment["KEIJI_DUE_FROM"]) == ("12000", "2026-11-23T08:00:10+01:00")


def test_the_due_time_of_a_run_is_unambiguous_when_the_clock_is_set_back(store: Store) -> None:
    add_task(store, "one")
    execute(store, make_plan(store, at(STEP)), at(STEP))
    [run] = store.read(lambda tx: tx.runs.open())
    for hour, offset in ((0, "+02:00"), (1, "+01:00")):
        moved = replace(run, scheduled_for=datetime.fromisoformat(f"2026-10-25T0{hour}:30+00:00"))
        assert environment_of(moved)["KEIJI_DUE"] == f"2026-10-25T02:30:00{offset}"
