"""Why a task does not run: each reason, the most important one first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from keiji.reasons import Code, Reason, reason
from keiji.records import Pause
from keiji_engine.bus.explain import explain
from keiji_engine.bus.views import EngineView, ServiceStatus, ServiceView, TaskView

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
NEXT = NOW + timedelta(hours=1)
ENGINE = EngineView(
    pid=1, version="0", boot="b", started_at=NOW, workspace="/w", database="sqlite", time_zone="Africa/Nairobi"
)
SERVICES = tuple(
    ServiceView(name=name, status=ServiceStatus.ONLINE, since=NOW) for name in ("bus", "scheduler", "runner", "watcher")
)
TASK = TaskView(
    id=1, task_id="t", name="ping", slug="ping", build="b1", schedule_description="every hour", next_execution_time=NEXT
)
PAUSE = Pause(since=NOW, reason="moving house", by="keiji")
FAILED = reason(Code.EXIT_CODE, exit_code=1, detail="boom")
WAITS = reason(Code.WAITING_FOR_SLOT, limit=3)
DUE = reason(Code.DUE, at=NEXT, schedule="every hour")
AFTER_RESUME = reason(Code.AFTER_RESUME, schedule="every hour")


def explained(
    task: TaskView = TASK,
    pause: Pause | None = None,
    *,
    engine: EngineView | None = ENGINE,
    services: Sequence[ServiceView] = SERVICES,
    now: datetime | None = None,
) -> list[Reason]:
    return list(explain(task, engine, services, pause, now=now))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"build": None, "next_execution_time": None}, [reason(Code.NOT_BUILT)]),
        ({"is_disabled": True, "next_execution_time": None}, [reason(Code.DISABLED)]),
        (
            {"held_since": NOW, "failures": 3, "error": FAILED},
            [reason(Code.HELD, since=NOW, failures=3, cause=FAILED)],
        ),
        ({"retry_at": NOW}, [reason(Code.RETRY_AT, at=NOW)]),
        ({"waiting": WAITS}, [reason(Code.WAITING, cause=WAITS)]),
        (
            {"is_running": True, "running_since": NOW, "running": 1},
            [reason(Code.RUNNING, since=NOW, count=1, overlap="skip")],
        ),
        ({"source_changes": ("function.py", ".env")}, [reason(Code.SOURCES_CHANGED, files="function.py, .env")]),
    ],
)
def test_each_state_of_a_task_has_its_reason(changes: dict[str, Any], expected: list[Reason]) -> None:
    task = msgspec.structs.replace(TASK, **changes)
    assert explained(task) == [*expected, *([DUE] if task.next_execution_time else [])]


def test_the_engine_and_its_services_come_first() -> None:
    assert explained(engine=None, services=()) == [reason(Code.ENGINE_OFFLINE), DUE]
    failed = msgspec.structs.replace(SERVICES[2], status=ServiceStatus.FAILED, detail="no space left")
    assert explained(services=(*SERVICES[:2], failed)) == [
        reason(Code.SERVICE_DOWN, service="runner", status="failed", detail="no space left"),
        DUE,
    ]


def test_a_service_that_runs_no_tasks_is_not_a_reason() -> None:
    offline = msgspec.structs.replace(SERVICES[3], status=ServiceStatus.OFFLINE)
    assert explained(services=(*SERVICES[:3], offline)) == [DUE]


@pytest.mark.parametrize("next_at", [NEXT, NOW - timedelta(hours=1)])
def test_a_paused_task_is_due_at_no_instant_before_it_is_resumed(next_at: datetime) -> None:
    task, now = msgspec.structs.replace(TASK, next_execution_time=next_at), NOW + timedelta(seconds=1)
    paused, later = reason(Code.PAUSED, since=NOW, by="keiji", note="moving house", all=False), AFTER_RESUME
    assert explained(msgspec.structs.replace(task, pause=PAUSE), now=now) == [paused, later]
    assert explained(task, PAUSE, now=now) == [reason(Code.PAUSED, **paused.params | {"all": True}), later]


def test_several_reasons_are_given_in_order() -> None:
    task = msgspec.structs.replace(TASK, is_disabled=True, next_execution_time=None, source_changes=("function.py",))
    assert [why.code for why in explained(task, PAUSE)] == [Code.DISABLED, Code.PAUSED, Code.SOURCES_CHANGED]


@pytest.mark.parametrize("code", [Code.JITTER, Code.STAGGERED])
def test_a_start_time_that_has_passed_no_longer_explains_a_wait(code: Code) -> None:
    delayed = reason(code, at=NOW)
    task = msgspec.structs.replace(TASK, waiting=delayed, waiting_until=NOW)
    assert explained(task, now=NOW - timedelta(seconds=1))[0] == reason(Code.WAITING, cause=delayed)
    assert explained(task, now=NOW)[0] == reason(Code.WAITING)


def test_a_limit_explains_a_wait_also_after_the_start_time() -> None:
    task = msgspec.structs.replace(TASK, waiting=WAITS, waiting_until=NOW)
    assert explained(task, now=NOW + timedelta(hours=1))[0] == reason(Code.WAITING, cause=WAITS)


def test_an_overdue_retry_has_no_time() -> None:
    task = msgspec.structs.replace(TASK, retry_at=NOW)
    assert explained(task, now=NOW - timedelta(seconds=1))[0] == reason(Code.RETRY_AT, at=NOW)
    assert explained(task, now=NOW + timedelta(seconds=1))[0] == reason(Code.RETRY_AT, at=None)


@pytest.mark.parametrize(
    ("overlap", "more"),
    [("skip", {"until_then": "skipped"}), ("queue", {"until_then": "queued"}), ("replace", {}), ("allow", {})],
)
def test_a_retry_that_suspends_the_schedule_says_so(overlap: str, more: dict[str, str]) -> None:
    task = msgspec.structs.replace(TASK, overlap=overlap, retry_at=NEXT + timedelta(hours=1))
    assert explained(task)[0] == reason(Code.RETRY_AT, at=task.retry_at, **more)
    soon = msgspec.structs.replace(task, retry_at=NEXT)
    assert explained(soon)[0] == reason(Code.RETRY_AT, at=NEXT)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"next_execution_time": None, "events": ("manual",)}, [reason(Code.MANUAL)]),
        ({"next_execution_time": None, "events": ("at start",)}, [reason(Code.ON_EVENT, event="at start")]),
        ({"events": ("at start",)}, [DUE, reason(Code.ON_EVENT, event="at start")]),
        ({"next_execution_time": None, "events": ("manual",), "is_disabled": True}, [reason(Code.DISABLED)]),
        ({"next_execution_time": None, "events": ("at start",), "build": None}, [reason(Code.NOT_BUILT)]),
    ],
)
def test_a_task_that_waits_for_an_event_says_so(changes: dict[str, Any], expected: list[Reason]) -> None:
    assert explained(msgspec.structs.replace(TASK, **changes)) == expected


def test_a_task_that_is_never_due_again_says_so() -> None:
    task = msgspec.structs.replace(TASK, next_execution_time=None, schedule_description="once at 2026-01-01 00:00")
    assert explained(task) == [reason(Code.NEVER_DUE, schedule="once at 2026-01-01 00:00")]
