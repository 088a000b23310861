"""Output of the command line as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from keiji.engine_process import EngineInfo
from keiji.reasons import Code, reason, text_reason
from keiji.records import Pause, Run
from keiji.states import RunState, Trigger
from keiji_cli import json_output, output
from keiji_cli.services import ServiceInfo
from keiji_cli.table import Width
from keiji_engine.bus.views import DueInstant, TaskView

NAIROBI = ZoneInfo("Africa/Nairobi")
MOMENT = datetime(2026, 11, 27, 19, 0, tzinfo=UTC)
TASK = TaskView(
    id=1,
    task_id="ac965b18-b229-4360-a294-72913115bb45",
    name="ping_google",
    slug="ping_google",
    description="pings google",
    schedule="day:Friday,time:10:00PM",
    schedule_description="Fridays at 22:00",
    type="DayTime",
    next_execution_time=MOMENT,
    log_path="/k/logs/tasks/ping_google/ping_google.log",
    source_path="/w/tasks/ping_google",
    executable="/k/exec/tasks/ping_google",
    is_disabled=True,
    build="3f2a",
    source_changes=("function.py",),
)
RUN = Run(
    run_id="01",
    task="ping_google",
    trigger=Trigger.SCHEDULE,
    state=RunState.FAILED,
    created_at=MOMENT,
    scheduled_for=MOMENT,
    started_at=MOMENT,
    finished_at=MOMENT + timedelta(seconds=1.5),
    reason=reason(Code.EXIT_CODE, exit_code=2),
    exit_code=2,
    cpu_seconds=0.25,
    peak_memory_bytes=10_000_000,
    build="3f2a",
)


def test_the_task_model_has_all_fields_in_order() -> None:
    assert output.format_task_model(TASK, NAIROBI).splitlines() == [
        "TaskModel:",
        "ID: 1",
        "TaskId: ac965b18-b229-4360-a294-72913115bb45",
        "Name: ping_google",
        "Description: pings google",
        "Schedule: day:Friday,time:10:00PM",
        "LastExecutionTime: N/A",
        "NextExecutionTime: 2026-11-27 22:00:00 +0300",
        "LogPath: /k/logs/tasks/ping_google/ping_google.log",
        "Slug: ping_google",
        "Type: DayTime",
        "Executable: /k/exec/tasks/ping_google",
        "IsRunning: false",
        "IsQueued: false",
        "IsError: false",
        "IsDisabled: true",
        "ErrorTxt: ",
    ]


def test_task_details_show_changed_sources_and_omit_details_that_do_not_apply() -> None:
    details = output.format_task_details(TASK, NAIROBI)
    assert "Sources differ from the build: function.py" in details
    assert "Fridays at 22:00" in details
    assert "Running since" not in details


def test_tasks_as_json_have_the_documented_keys_and_times_in_the_zone_of_the_workspace() -> None:
    (task,) = json.loads(json_output.format_tasks([TASK], NAIROBI))
    assert list(task) == [
        "id", "task_id", "name", "description", "schedule", "type", "last_execution_time", "next_execution_time",
        "log_path", "slug", "executable", "is_running", "is_queued", "is_error", "is_disabled", "error_text", "build",
        "policy", "pause", "held_since", "waiting", "kind", "command", "parameters", "tags", "events", "zone",
    ]  # fmt: skip
    assert task["next_execution_time"] == "2026-11-27T22:00:00+03:00"
    assert task["last_execution_time"] is None
    assert task["is_disabled"] is True
    assert task["pause"] is None
    assert (task["error_text"], task["waiting"]) == ("", "")


def test_reasons_as_json_are_text() -> None:
    waiting = reason(Code.STAGGERED, at=MOMENT)
    failed = msgspec.structs.replace(TASK, error=reason(Code.EXIT_CODE, exit_code=2), waiting=waiting)
    (task,) = json.loads(json_output.format_tasks([failed], NAIROBI))
    assert task["error_text"] == "exit code 2"
    assert task["waiting"] == "starts at 2026-11-27 22:00:00 EAT (catch-up is staggered)"
    runs = json.loads(json_output.format_runs([RUN, replace(RUN, reason=None)], NAIROBI))
    assert [run["reason"] for run in runs] == ["exit code 2", ""]


def test_a_pause_is_shown_as_text_and_as_json() -> None:
    pause = Pause(since=MOMENT, reason="moving house", by="keiji")
    task = msgspec.structs.replace(TASK, pause=pause, failures=3, held_since=MOMENT)
    details = output.format_task_details(task, NAIROBI).splitlines()
    assert "Paused: since 2026-11-27 22:00:00 EAT by keiji: moving house" in details
    held = "since 2026-11-27 22:00:00 EAT, after 3 consecutive failures: keiji task resolve ping_google releases it"
    assert f"Held: {held}" in details
    assert json.loads(json_output.format_tasks([task], NAIROBI))[0]["pause"] == {
        "since": "2026-11-27T22:00:00+03:00",
        "reason": "moving house",
        "by": "keiji",
    }
    assert output.format_system_pause(pause, NAIROBI).startswith(
        "all tasks paused since 2026-11-27 22:00:00 EAT by keiji: "
    )


def test_runs_as_json_have_the_documented_keys() -> None:
    (run,) = json.loads(json_output.format_runs([RUN], NAIROBI))
    assert list(run) == [
        "run_id", "task", "trigger", "scheduled_for", "started_at", "finished_at", "state", "reason", "exit_code",
        "signal", "attempt", "cpu_seconds", "peak_memory_bytes", "build", "count", "scheduled_until",
        "series", "params", "overrides", "covers", "covers_from",
    ]  # fmt: skip
    assert (run["trigger"], run["state"], run["exit_code"]) == ("schedule", "failed", 2)
    assert run["finished_at"] == "2026-11-27T22:00:01.500000+03:00"


def test_status_as_json_has_the_engine_and_its_services() -> None:
    engine = EngineInfo(pid=7, boot="b", version="0.1.0", started_at=MOMENT.isoformat())
    services = [ServiceInfo("bus", "online", MOMENT.isoformat())]
    status = json.loads(json_output.format_status(engine, services, NAIROBI, MOMENT + timedelta(seconds=90), None))
    assert status == {
        "engine": {"pid": 7, "version": "0.1.0", "boot": "b", "uptime_seconds": 90.0},
        "services": [{"name": "bus", "status": "online", "since": "2026-11-27T22:00:00+03:00", "detail": ""}],
        "pause": None,
    }


def test_status_as_json_without_an_engine_has_null() -> None:
    status = json.loads(json_output.format_status(None, [ServiceInfo("bus")], NAIROBI, MOMENT, None))
    assert status == {
        "engine": None,
        "services": [{"name": "bus", "status": "offline", "since": None, "detail": ""}],
        "pause": None,
    }


def test_the_services_table_has_its_fixed_layout() -> None:
    assert output.format_services_table([("bus", "online"), ("scheduler", "offline")]).splitlines() == [
        "======== SERVICES ========",
        f"{'NAME':<18} {'STATUS':<18}",
        f"{'bus':<18} {'ONLINE':<18}",
        f"{'scheduler':<18} {'OFFLINE':<18}",
        "======== SERVICES ========",
    ]


def test_the_runs_table_shows_times_result_and_reason() -> None:
    header, row = output.format_runs_table([RUN], NAIROBI).splitlines()
    titles = ["DUE", "(EAT)", "STARTED", "(EAT)", "TRIGGER", "STATE", "DURATION", "ATTEMPT", "RUN", "REASON"]
    assert header.split() == titles
    assert row.startswith("2026-11-27 22:00:00 ")
    assert "FAILED" in row
    assert "1.5s" in row
    assert row.endswith("exit code 2")


def test_the_runs_table_fits_80_columns() -> None:
    long = replace(RUN, reason=reason(Code.EXIT_CODE, exit_code=1, detail="ConnectionError: " + "api " * 30))
    lines = output.format_runs_table([long], NAIROBI, Width(80)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["DUE", "(EAT)", "STATE", "DURATION", "REASON"]


def test_a_row_that_covers_several_occurrences_shows_their_number_and_the_last_one() -> None:
    several = replace(RUN, count=37, scheduled_until=MOMENT + timedelta(hours=1), reason=text_reason("no engine ran"))
    row = output.format_runs_table([several], NAIROBI).splitlines()[1]
    assert row.endswith("37 occurrences until 2026-11-27 23:00:00 EAT: no engine ran")


def test_upcoming_occurrences_are_shown_with_a_note_and_the_time_until_then() -> None:
    gap = DueInstant(task="ping", at=MOMENT, starts_at=MOMENT, note="skipped: gap 02:30", is_skipped=True)
    due = DueInstant(task="ping", at=MOMENT + timedelta(hours=2), starts_at=MOMENT + timedelta(hours=2))
    header, skipped, next_due = output.format_upcoming_table([gap, due], NAIROBI, MOMENT).splitlines()
    assert header.split() == ["DAY", "DUE", "(EAT)", "FROM", "NOW", "NOTE"]
    assert skipped.split() == ["Fri", "2026-11-27", "22:00:00", "skipped:", "gap", "02:30"]
    assert next_due.split() == ["Sat", "2026-11-28", "00:00:00", "in", "2h"]


def test_times_on_both_sides_of_a_dst_transition_show_their_own_offset() -> None:
    before = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    instants = [DueInstant(task="ping", at=at, starts_at=at) for at in (before, before + timedelta(hours=1))]
    header, first, second = output.format_upcoming_table(instants, ZoneInfo("Europe/Berlin"), before).splitlines()
    assert header.split()[:2] == ["DAY", "DUE"]
    assert "02:30:00 CEST" in first
    assert "02:30:00 CET" in second


def test_the_list_shows_the_next_run_of_a_task_with_its_own_zone_in_that_zone() -> None:
    own = msgspec.structs.replace(TASK, is_disabled=False, zone="America/New_York")
    other = msgspec.structs.replace(TASK, is_disabled=False, name="other")
    now = MOMENT - timedelta(hours=1)
    table = output.format_tasks_table([own, other], NAIROBI, now, is_online=True, is_paused=False)
    header, first, second = table.splitlines()
    assert "NEXT  " in header
    assert "2026-11-27 14:00:00 EST" in first
    assert "2026-11-27 22:00:00 EAT" in second
    alone = output.format_tasks_table([own], NAIROBI, now, is_online=True, is_paused=False)
    assert "NEXT (EST)" in alone
    assert "Zone: America/New_York, its own" in output.format_task_details(own, NAIROBI).splitlines()


@pytest.mark.parametrize(
    ("events", "label"),
    [
        (("manual",), "manual"),
        (("at start",), "at start"),
        (("on change of /data/in/*.csv",), "on change"),
        (("at start", "on change of /data"), "on event"),
    ],
)
def test_the_next_run_of_a_task_that_waits_for_an_event_is_the_event(events: tuple[str, ...], label: str) -> None:
    task = msgspec.structs.replace(TASK, is_disabled=False, next_execution_time=None, events=events)
    table = output.format_tasks_table([task], NAIROBI, MOMENT, is_online=True, is_paused=False)
    assert f"  {label}  " in table.splitlines()[1]
    paused = output.format_tasks_table([task], NAIROBI, MOMENT, is_online=True, is_paused=True)
    assert "  -  " in paused.splitlines()[1]
    assert f"NextExecutionTime: {label}" in output.format_task_model(task, NAIROBI).splitlines()
    disabled = msgspec.structs.replace(task, is_disabled=True)
    assert "NextExecutionTime: N/A" in output.format_task_model(disabled, NAIROBI).splitlines()


@pytest.mark.parametrize(
    ("changes", "is_online", "is_paused", "state", "shows_next"),
    [
        ({}, True, False, "waiting", True),
        ({}, False, False, "engine offline", True),
        ({}, True, True, "paused", False),
        ({"pause": Pause(since=MOMENT)}, False, False, "paused", False),
        ({"held_since": MOMENT, "failures": 3}, True, False, "held", False),
        ({"is_disabled": True}, False, True, "disabled", False),
        ({"build": None}, True, False, "not built", False),
        ({"next_execution_time": MOMENT - timedelta(hours=2)}, False, False, "engine offline", False),
        ({"is_running": True}, True, False, "running", True),
        ({"is_running": True}, True, True, "running", False),
        ({"is_running": True, "pause": Pause(since=MOMENT)}, True, False, "running", False),
    ],
)
def test_the_list_shows_why_a_task_does_not_run_and_no_instant_at_which_it_will_not(
    changes: dict[str, object], is_online: bool, is_paused: bool, state: str, shows_next: bool
) -> None:
    task = msgspec.structs.replace(TASK, **{"is_disabled": False, **changes})
    now = MOMENT - timedelta(hours=1)
    table = output.format_tasks_table([task], NAIROBI, now, is_online=is_online, is_paused=is_paused)
    header, row = table.splitlines()
    assert header.split("  ")[0] == "NAME"
    assert f"  {state}  " in row
    assert ("2026-11-27 22:00:00" in row) is shows_next
    assert (" -  " in row) is not shows_next


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 * 1024**3, "5.0 GiB"),
        (1024**6, "1048576.0 TiB"),
    ],
)
def test_a_size_is_shown_in_the_largest_unit(size: int, text: str) -> None:
    assert output.format_size(size) == text


def test_a_tree_shows_folders_and_files_except_hidden_ones(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.log").touch()
    (tmp_path / "d").touch()
    (tmp_path / "secret").touch()
    assert output.format_tree(tmp_path, lambda path: path.name == "secret").splitlines() == [
        str(tmp_path),
        "├── a",
        "│   └── b",
        "│       └── c.log",
        "└── d",
    ]
