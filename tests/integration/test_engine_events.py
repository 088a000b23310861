"""Tasks that run on events, with a real engine that is killed in between."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from installation import DO_NOTHING, Installation, until

from keiji.machine import start_id
from keiji.reasons import render
from keiji.settings import Settings
from keiji.states import RunState, Trigger
from keiji_engine.bus import protocol as p
from keiji_engine.storage.store import Store

UNTIL_RELEASED = """
import os, time
def function():
    while not os.path.exists("released"):
        time.sleep(0.01)
"""
KILLS = 3


def forget_starts(installation: Installation) -> None:
    """Make the stored start of the machine an earlier one, as if the machine had been started since."""
    store = Store.open(Settings(), installation.paths)
    store.write(lambda tx: tx.system.set_value("machine_start", {"id": "an earlier start", "tasks": []}))
    store.close()


def test_a_task_runs_once_after_a_start_of_the_machine_however_often_the_engine_is_killed(
    shared: Installation, seed: int
) -> None:
    draw = random.Random(seed)
    shared.build("ping", DO_NOTHING, "[at_start, every(1).hours]")
    shared.build("off", DO_NOTHING, "at_start")
    shared.do(p.Disable(task="off"))
    shared.kill()
    shared.start()
    assert shared.runs("ping") == [], "it was built after the start"
    shared.kill()
    forget_starts(shared)
    for _ in range(KILLS):
        shared.start()
        limit = draw.uniform(0, 0.3)
        until(lambda limit=limit: shared.runs("ping") or draw.random() < limit)
        shared.kill()
    shared.start()
    [run] = shared.ended("ping")
    assert (run.state, run.trigger, run.scheduled_for) == (RunState.SUCCEEDED, Trigger.AT_START, None)
    shared.do(p.RestartService(service="scheduler"))
    shared.do(p.Enable(task="off"))
    shared.build("later", DO_NOTHING, "every(1).hours")
    assert len(shared.runs("ping")) == 1
    assert shared.runs("off") == []


def test_a_change_of_files_runs_a_task_and_changes_during_a_run_lead_to_one_more(
    shared: Installation, tmp_path: Path
) -> None:
    (tmp_path / "old.csv").touch()
    shared.build("ping", UNTIL_RELEASED, f'on_change("{tmp_path}/*.csv")')
    (tmp_path / "a.csv").touch()
    [first] = shared.wait_for_runs("ping", 1, lambda run: run.state is RunState.RUNNING)
    assert (first.trigger, render(first.reason)) == (Trigger.ON_CHANGE, f"changed: {tmp_path}/a.csv")
    (tmp_path / "b.csv").touch()
    [queued] = shared.wait_for_runs("ping", 1, lambda run: run.state is RunState.QUEUED)
    # Nothing that happens while no engine runs is lost.
    shared.kill()
    (tmp_path / "c.csv").touch()
    (shared.paths.work / "ping" / "released").touch()
    shared.start()
    runs = shared.ended("ping", 2)
    assert [run.run_id for run in runs[:2]] == [first.run_id, queued.run_id]
    shared.ended("ping", len(runs))
    count = len(shared.runs("ping"))
    (tmp_path / "a.csv").unlink()
    (tmp_path / "d.csv").touch()
    newest = shared.ended("ping", count + 1)[-1]
    assert render(newest.reason).endswith(f"{tmp_path}/d.csv")
    shared.do(p.RenameTask(task="ping", new_name="pong"))
    (tmp_path / "e.csv").touch()
    assert render(shared.ended("pong", count + 2)[-1].reason) == f"changed: {tmp_path}/e.csv"


def test_an_instant_of_several_schedules_is_one_occurrence(shared_ahead: Installation) -> None:
    shared_ahead.build("ping", DO_NOTHING, "[every(1).minutes, every(2).minutes]")
    first = shared_ahead.next_due("ping")
    for number in range(2):
        shared_ahead.advance_to(first + number * timedelta(minutes=1))
        shared_ahead.ended("ping", number + 1)
    assert [run.scheduled_for for run in shared_ahead.runs("ping")] == [first, first + timedelta(minutes=1)]
    assert shared_ahead.next_due("ping") == first + timedelta(minutes=2)


def test_what_waits_for_an_event_says_so_everywhere(shared: Installation, tmp_path: Path) -> None:
    pattern = f"{tmp_path}/*.csv"
    for slug, schedule, label, events in (
        ("manual", "manual", "manual", ("manual",)),
        ("start", "at_start", "at start", ("at start",)),
        ("files", f'on_change("{pattern}")', "on change", (f"on change of {pattern}",)),
        ("both", f'[at_start, on_change("{pattern}")]', "on event", ("at start", f"on change of {pattern}")),
    ):
        shared.build(slug, DO_NOTHING, schedule)
        task = shared.task(slug)
        assert (task.next_execution_time, task.next_event, task.events) == (None, label, events)
        found = shared.ask(p.GetUpcoming(task=slug))
        assert (found.instants, found.events) == ((), events)
        explained = [render(each) for each in shared.ask(p.Explain(task=slug)).reasons]
        manual = ["manual: runs only when you start it"]
        assert explained == (manual if slug == "manual" else [f"runs on event: {event}" for event in events])


def test_replies_about_a_task_name_its_own_time_zone(shared: Installation) -> None:
    shared.build("own", DO_NOTHING, "[at_start, every(1).hours]", "Policy(tz='America/New_York')")
    shared.build("other", DO_NOTHING)
    for slug, zone in (("own", "America/New_York"), ("other", "")):
        replies = (shared.ask(p.GetRuns(task=slug)), shared.ask(p.Explain(task=slug)), shared.task(slug))
        assert [reply.zone for reply in replies] == [zone] * 3
        assert shared.ask(p.GetUpcoming(task=slug)).zone == (zone or "Africa/Nairobi")


@pytest.mark.skipif(not Path("/proc/1/stat").exists(), reason="only Linux has /proc")
def test_the_id_of_a_start_consists_of_the_boot_and_the_start_of_the_first_process() -> None:
    boot, _, started = start_id().partition("/")
    assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert started == Path("/proc/1/stat").read_text().split()[21]
