"""What an engine does and shows while its database or a log cannot be written, and that it recovers by itself."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta

from command_line import Result, run_command
from installation import EVERY_SECOND, Installation, until

from keiji.reasons import Code
from keiji.states import RunState
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import ServiceStatus, ServiceView

FAILS_WITH_7 = "import os\ndef function():\n    os._exit(7)\n"


def keiji(installation: Installation, *arguments: str) -> Result:
    return run_command(*arguments, environment={"KEIJI_ROOT": str(installation.paths.data)})


def _service(installation: Installation, name: str) -> ServiceView:
    return next(view for view in installation.ask(p.Ping()).services if view.name == name)


def _wait_for(installation: Installation, name: str, status: ServiceStatus) -> ServiceView:
    until(lambda: _service(installation, name).status is status, f"the {name} is {status}")
    return _service(installation, name)


def _codes(installation: Installation, slug: str) -> list[str]:
    return [reason.code for reason in installation.ask(p.Explain(task=slug)).reasons]


def _saved(installation: Installation) -> list[str]:
    return sorted(path.name for path in installation.paths.database.parent.glob("keiji.db.saved-*Z"))


def _delete_database(installation: Installation) -> None:
    for path in installation.paths.database.parent.glob("keiji.db*"):
        path.unlink()


def test_a_deleted_database_is_reported_and_nothing_is_lost(installation: Installation) -> None:
    installation.build("tick", schedule=EVERY_SECOND)
    installation.start()
    installation.advance(1)
    installation.ended("tick")
    _delete_database(installation)
    view = _wait_for(installation, "scheduler", ServiceStatus.DEGRADED)
    assert view.reason is not None
    assert view.reason.code == Code.DATABASE_UNAVAILABLE
    assert "was deleted" in view.detail
    installation.clock.shift(timedelta(seconds=5))
    until(lambda: Code.OVERDUE in _codes(installation, "tick"))
    assert Code.DATABASE_UNAVAILABLE in _codes(installation, "tick")
    status = keiji(installation, "system", "status")
    assert status.code == 1
    assert "DEGRADED" in status.stdout
    assert not installation.paths.database.exists()

    [saved] = until(lambda: _saved(installation))
    installation.paths.database.with_name(saved).rename(installation.paths.database)
    _wait_for(installation, "scheduler", ServiceStatus.ONLINE)
    _wait_for(installation, "runner", ServiceStatus.ONLINE)
    before = len(installation.runs("tick"))
    installation.advance(1)
    installation.wait_for_runs("tick", before + 1, lambda run: run.state is not RunState.LOST)
    instants = [run.scheduled_for for run in installation.runs("tick")]
    assert len(instants) == len(set(instants))
    assert keiji(installation, "system", "status").code == 0


def test_a_stopped_engine_puts_a_deleted_database_back(installation: Installation) -> None:
    installation.build("tick")
    installation.start()
    _delete_database(installation)
    installation.stop()
    assert installation.task("tick").build is not None
    assert _saved(installation) == []


def test_a_backup_that_replaces_the_database_is_used_and_keeps_the_runs_since_then(installation: Installation) -> None:
    installation.build("tick", schedule=EVERY_SECOND)
    backup = installation.paths.data / "backup.db"
    shutil.copy(installation.paths.database, backup)
    installation.start()
    installation.do(p.Create(name="later"))
    for count in (1, 2):
        installation.advance(1)
        before = {run.run_id for run in installation.ended("tick", count)}
    backup.replace(installation.paths.database)
    until(lambda: _saved(installation))
    until(lambda: "later" not in [task.slug for task in installation.ask(p.GetTasks()).tasks], "the backup is open")
    _wait_for(installation, "scheduler", ServiceStatus.ONLINE)
    assert before <= {run.run_id for run in installation.runs("tick")}
    for count in (1, 2):
        installation.advance(1)
        installation.wait_for_runs("tick", len(before) + count, lambda run: run.state is RunState.SUCCEEDED)
    instants = [run.scheduled_for for run in installation.runs("tick")]
    assert len(instants) == len(set(instants))


def test_a_result_that_the_database_rejects_blocks_no_other(installation: Installation) -> None:
    installation.build("odd", FAILS_WITH_7)
    installation.build("even")
    with closing(sqlite3.connect(installation.paths.database)) as database, database:
        database.execute(
            "CREATE TRIGGER no_seven BEFORE UPDATE ON runs WHEN NEW.exit_code = 7 "
            "BEGIN SELECT RAISE(ABORT, 'seven is rejected'); END"
        )
    installation.start()
    installation.do(p.RunTask(task="odd"))
    view = _wait_for(installation, "runner", ServiceStatus.DEGRADED)
    assert "seven is rejected" in view.detail
    for count in (1, 2):
        installation.do(p.RunTask(task="even"))
        installation.ended("even", count, RunState.SUCCEEDED)
    assert _service(installation, "runner").status is ServiceStatus.DEGRADED
    with closing(sqlite3.connect(installation.paths.database)) as database, database:
        database.execute("DROP TRIGGER no_seven")
    [run] = installation.ended("odd")
    assert run.exit_code == 7
    _wait_for(installation, "runner", ServiceStatus.ONLINE)


def test_a_log_that_cannot_be_written_degrades_its_service(shared: Installation) -> None:
    shared.build("quiet")
    log = shared.paths.task_log("quiet")
    until(log.exists)
    moved = log.parent.with_name("moved")
    log.parent.rename(moved)
    log.parent.write_text("no folder")
    shared.do(p.PauseTask(task="quiet"))  # it writes a line
    view = _wait_for(shared, "runner", ServiceStatus.DEGRADED)
    assert view.reason is not None
    assert view.reason.code == Code.LOG_UNWRITABLE
    assert str(log) in view.detail
    log.parent.unlink()
    moved.rename(log.parent)
    _wait_for(shared, "runner", ServiceStatus.ONLINE)
    assert "lines are missing" in shared.log("quiet")


def test_a_task_that_cannot_be_read_is_broken_and_the_others_run(installation: Installation) -> None:
    for slug in ("sound", "broken"):
        installation.build(slug, schedule=EVERY_SECOND)
    with closing(sqlite3.connect(installation.paths.database)) as database, database:
        database.execute("""UPDATE tasks SET policy = '{"tz":"Mars/Base"}' WHERE slug = 'broken'""")
    assert "Mars/Base" in keiji(installation, "task", "explain", "broken").stdout  # without an engine
    assert keiji(installation, "task", "list").code == 0
    installation.start()
    installation.advance(1)
    installation.ended("sound")
    assert installation.runs("broken") == []
    explained = keiji(installation, "task", "explain", "broken").stdout
    assert "Mars/Base" in explained
    assert "keiji task build broken" in explained
    refused = keiji(installation, "task", "run", "broken")
    assert refused.code == 1
    assert "keiji task build broken" in refused.stderr
    installation.build("broken", schedule=EVERY_SECOND)
    installation.advance(1)
    installation.ended("broken")
    assert installation.task("broken").broken is None
