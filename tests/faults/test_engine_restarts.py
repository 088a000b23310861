"""What an engine leaves to the next one, or refuses to leave: claims, results, runs at its end, and its settings."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from datetime import UTC, datetime

import pytest
from installation import DO_NOTHING, SLEEPS, Installation, until

from keiji import machine
from keiji.errors import InvalidSettings, KeijiError
from keiji.paths import Paths
from keiji.reasons import render
from keiji.records import Run, RunOrigin
from keiji.settings import Settings
from keiji.states import RunState
from keiji_cli import services
from keiji_engine.bus import protocol as p
from keiji_engine.runner import run_folder
from keiji_engine.storage.store import Store

ENDS_ON_REQUEST = """
import signal, sys
def end(*_):
    print("saved", flush=True)
    sys.exit(0)
def function():
    signal.signal(signal.SIGTERM, end)
    print("started", flush=True)
    signal.pause()
    signal.pause()
"""


def claim(installation: Installation, origin: RunOrigin) -> Run:
    """Claim a run as an engine does that is killed before it has launched the run."""
    store = Store.open(Settings(), installation.paths)
    store.run_origin = origin
    [run] = store.write(lambda transaction: transaction.runs.insert_manual("ping", datetime.now(UTC))).runs.values()
    store.close()
    return run


def test_a_claimed_run_that_never_began_is_started_once_by_the_next_engine(shared: Installation) -> None:
    shared.build("ping", DO_NOTHING)
    shared.kill()
    folder = run_folder.read_id(shared.paths.runs)
    assert folder is not None
    begun = claim(shared, RunOrigin(folder, machine.boot_id()))
    rebooted = claim(shared, RunOrigin(folder, "another boot"))
    shared.start()
    states = {run.run_id: run for run in shared.wait_for_runs("ping", 2, lambda run: run.finished_at)}
    assert states[begun.run_id].state is RunState.SUCCEEDED
    assert states[rebooted.run_id].state is RunState.LOST
    assert render(states[rebooted.run_id].reason) == "the machine rebooted before the run ended"


def test_a_result_that_the_database_rejects_keeps_no_other_from_being_recorded(shared: Installation) -> None:
    for slug in ("good", "rejected"):
        shared.build(slug, "import time\ndef function():\n    print('started', flush=True)\n    time.sleep(0.5)\n")
    ids = {slug: shared.do(p.RunTask(task=slug)) and shared.runs(slug)[0].run_id for slug in ("rejected", "good")}
    for slug in ids:
        until(lambda slug=slug: "started" in shared.log(slug))
    shared.kill()
    until(lambda: all(file.read_bytes().count(b"\n") >= 2 for file in shared.run_files()))
    with sqlite3.connect(shared.paths.database) as connection:
        connection.execute(
            "CREATE TRIGGER reject BEFORE UPDATE ON runs WHEN NEW.state = 'succeeded' AND "
            f"NEW.run_id = '{ids['rejected']}' BEGIN SELECT RAISE(ABORT, 'rejected'); END"
        )
    connection.close()
    shared.start()
    shared.ended("good", 1, RunState.SUCCEEDED)
    assert shared.runs("rejected")[0].state is not RunState.SUCCEEDED
    with sqlite3.connect(shared.paths.database) as connection:
        connection.execute("DROP TRIGGER reject")
    connection.close()
    shared.ended("rejected", 1, RunState.SUCCEEDED)


def test_an_engine_with_drain_stops_its_runs_and_records_them_before_it_ends(installation: Installation) -> None:
    installation.start("--drain", "0.1")
    installation.build("saves", ENDS_ON_REQUEST)
    installation.do(p.RunTask(task="saves"))
    until(lambda: "started" in installation.log("saves"))
    assert installation.stop() == 0
    assert not installation.run_files()
    [run] = installation.runs("saves")
    assert (run.state, run.exit_code) == (RunState.STOPPED, 0)
    assert "shutdown of the engine" in render(run.reason)
    assert "saved" in installation.log("saves")


def test_invalid_settings_or_a_foreground_engine_prevent_a_restart_before_anything_is_stopped(
    shared: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    shared.build("sleeper", SLEEPS)
    services.check_start(shared.paths)
    assert not capsys.readouterr().err
    shared.write_settings(KEEP_DAYS="9O")
    with pytest.raises(InvalidSettings, match="KEEP_DAYS"):
        services.check_start(shared.paths)
    shared.write_settings()
    with pytest.raises(KeijiError, match="foreground"):
        services.require_detached(shared.paths)


def test_a_state_folder_that_was_copied_elsewhere_runs_its_own_builds(installation: Installation) -> None:
    installation.start()
    installation.build("where", "def function():\n    print('in', __file__)\n")
    installation.stop()
    former = installation.paths.data
    copy = former.with_name("copy")
    shutil.copytree(former, copy, symlinks=True)
    installation.paths = Paths.under(copy)
    installation.environment["KEIJI_ROOT"] = str(copy)
    installation.start()
    installation.do(p.RunTask(task="where"))
    installation.ended("where", 1, RunState.SUCCEEDED)
    assert f"in {copy}/builds/" in installation.log("where")
    assert str(former) + "/" not in installation.log("where")


def test_a_changed_database_is_rejected_on_a_reload(shared: Installation) -> None:
    shared.write_settings(DB_URL="postgresql://nobody@localhost:1/none", TIME_ZONE="Asia/Tokyo")
    shared.signal(signal.SIGHUP)
    log = shared.paths.service_log("repo")
    until(lambda: log.exists() and "a running engine cannot change its database" in log.read_text())
    until(lambda: shared.ask(p.Ping()).engine.time_zone == "Asia/Tokyo")
    assert shared.ask(p.Ping()).engine.database == "sqlite"
    assert shared.ask(p.Ping()).engine.pid != os.getpid()
    shared.write_settings()
    shared.signal(signal.SIGHUP)
    until(lambda: shared.ask(p.Ping()).engine.time_zone != "Asia/Tokyo")
