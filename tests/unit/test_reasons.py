"""Why does it not run? Everything that holds it up is named, most urgent first, with what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from keiji.records import Pause
from keiji_engine.bus.reasons import reasons
from keiji_engine.bus.views import EngineView, ServiceStatus, ServiceView, TaskView

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
ENGINE = EngineView(
    pid=1, version="0", boot="b", started_at=NOW, workspace="/w", database="sqlite", time_zone="Africa/Nairobi"
)
SERVICES = tuple(
    ServiceView(name=name, status=ServiceStatus.ONLINE, since=NOW) for name in ("bus", "scheduler", "runner", "watcher")
)
TASK = TaskView(
    id=1, task_id="t", name="ping", slug="ping", build="b1", policy="overlap skip, catch up latest",
    schedule_description="every hour", next_execution_time=NOW + timedelta(hours=1),
)  # fmt: skip
PAUSE = Pause(since=NOW, reason="moving house", by="keiji")


def told(task: TaskView = TASK, pause: Pause | None = None, **given: Any) -> list[tuple[str, str]]:
    found = reasons(task, given.get("engine", ENGINE), given.get("services", SERVICES), pause, UTC)
    return [(reason.words, reason.remedy) for reason in found]


DUE = ("it is due next at 2026-11-23 08:00:00 UTC (every hour)", "")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"build": None, "next_execution_time": None}, [("it has no build yet", "keiji task build ping")]),
        ({"is_disabled": True, "next_execution_time": None}, [("it is disabled", "keiji task enable ping")]),
        (
            {"pause": PAUSE},
            [("it is paused since 2026-11-23 07:00:00 UTC by keiji: moving house", "keiji task resume ping")],
        ),
        (
            {"held_since": NOW, "failures": 3, "error_text": "exit code 1: boom"},
            [
                (
                    "it is held since 2026-11-23 07:00:00 UTC, because it failed 3 times in a row: exit code 1: boom",
                    "keiji task resolve ping",
                )
            ],
        ),
        ({"retry_at": NOW}, [("it failed, and is tried again at 2026-11-23 07:00:00 UTC", "")]),
        ({"waiting": "waits for a slot"}, [("a run that is due has not begun: waits for a slot", "")]),
        (
            {"is_running": True, "running_since": NOW, "running": 1},
            [("it is running since 2026-11-23 07:00:00 UTC (overlap skip)", "")],
        ),
        (
            {"source_changes": ("function.py", ".env")},
            [
                (
                    "its sources differ from the build that runs: function.py, .env",
                    "keiji task build ping --restart",
                )
            ],
        ),
    ],
)
def test_each_cause_is_told_with_its_remedy(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    task = msgspec.structs.replace(TASK, **changes)
    assert told(task) == [*expected, *([DUE] if task.next_execution_time else [])]


def test_what_has_passed_is_told_apart_from_what_is_to_come() -> None:
    waits = msgspec.structs.replace(TASK, waiting="jitter: it starts at 07:00:05", waiting_until=NOW)
    retries = msgspec.structs.replace(TASK, retry_at=NOW)
    for later, waiting, retry in (
        (-1, "jitter: it starts at 07:00:05", "at 2026-11-23 07:00:00 UTC"),
        (1, "it begins as soon as there is room", "as soon as there is room"),
    ):
        now = NOW + timedelta(seconds=later)
        [reason, _] = reasons(waits, ENGINE, SERVICES, None, UTC, now=now)
        assert reason.words == f"a run that is due has not begun: {waiting}"
        [reason, _] = reasons(retries, ENGINE, SERVICES, None, UTC, now=now)
        assert reason.words == f"it failed, and is tried again {retry}"


def test_the_engine_and_its_services_come_first() -> None:
    assert told(engine=None, services=())[0] == ("the engine is offline: nothing runs", "keiji system start")
    failed = msgspec.structs.replace(SERVICES[2], status=ServiceStatus.FAILED, detail="no space left")
    assert told(services=(*SERVICES[:2], failed))[0] == (
        "the runner is failed: no space left",
        "keiji system start --runner",
    )


def test_a_pause_of_everything_is_a_reason_for_each_task() -> None:
    assert told(pause=PAUSE) == [
        ("everything is paused since 2026-11-23 07:00:00 UTC by keiji: moving house", "keiji system resume"),
        DUE,
    ]


def test_several_causes_are_all_told() -> None:
    task = msgspec.structs.replace(TASK, is_disabled=True, next_execution_time=None, source_changes=("function.py",))
    assert [words.split(" ")[0:3] for words, _ in told(task, PAUSE)] == [
        ["it", "is", "disabled"],
        ["everything", "is", "paused"],
        ["its", "sources", "differ"],
    ]


def test_what_is_never_due_again_says_so() -> None:
    task = msgspec.structs.replace(TASK, next_execution_time=None, schedule_description="once at 2026-01-01 00:00")
    [(words, remedy)] = told(task)
    assert words == "it is never due again (once at 2026-01-01 00:00)"
    assert remedy.startswith("keiji task run ping")
