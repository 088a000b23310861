"""Explains why a task does not run now, using only the views, so that a terminal needs no engine for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from keiji.reasons import Code, Reason, reason
from keiji.records import Pause
from keiji_engine.bus.views import EngineView, ServiceView, TaskView

_REQUIRED = ("scheduler", "runner")
_OVERDUE = timedelta(seconds=2)  # after which a due instant is called overdue; the engine takes a moment to start a run
_OCCUPIES = {"skip": "skipped", "queue": "queued"}  # what happens to occurrences while a retry is pending
_START_TIMES = (Code.JITTER, Code.STAGGERED)


def explain(
    task: TaskView,
    engine: EngineView | None,
    services: Iterable[ServiceView],
    pause: Pause | None,
    *,
    now: datetime | None = None,
    obstacles: tuple[Reason, ...] = (),
) -> tuple[Reason, ...]:
    """Return why a task does not run now, the most important reason first, then when it is due or is resumed.

    The last one names what comes from the defaults of the workspace.

    Args:
        engine: None if no engine is running.
        pause: the pause of the whole system; None if it is not paused.
        now: the current time, to recognize overdue runs; None if unknown.
        obstacles: what is wrong with the files of the task, which the views do not have.
    """
    return tuple(_reasons(task, engine, services, pause, now=now, obstacles=obstacles))


def _reasons(  # noqa: PLR0912 - one branch for each reason
    task: TaskView,
    engine: EngineView | None,
    services: Iterable[ServiceView],
    pause: Pause | None,
    *,
    now: datetime | None,
    obstacles: tuple[Reason, ...],
) -> Iterator[Reason]:
    has_sources = all(obstacle.code != Code.SOURCES_MISSING for obstacle in obstacles)
    if engine is None:
        yield reason(Code.ENGINE_OFFLINE)
    required = [service for service in services if service.name in _REQUIRED]
    for service in required:
        if not service.is_up:
            yield reason(Code.SERVICE_DOWN, service=service.name, status=str(service.status), detail=service.detail)
    degraded = [service.reason for service in required if service.is_up and service.reason is not None]
    yield from (why for number, why in enumerate(degraded) if why not in degraded[:number])
    if task.broken is not None:
        yield task.broken
    yield from obstacles
    if not task.build and has_sources:
        yield reason(Code.NOT_BUILT)
    if task.is_disabled:
        yield reason(Code.DISABLED)
    if task.held_since is not None:
        yield reason(Code.HELD, since=task.held_since, failures=task.failures, cause=task.error)
    if pause is not None:
        yield reason(Code.PAUSED, since=pause.since, by=pause.by, note=pause.reason, all=True)
    if task.pause is not None:
        yield reason(Code.PAUSED, since=task.pause.since, by=task.pause.by, note=task.pause.reason, all=False)
    if task.retry_at is not None:
        is_overdue = now is not None and task.retry_at <= now
        suspension = "" if is_overdue else _suspension(task)
        if suspension:
            yield reason(Code.RETRY_AT, at=task.retry_at, until_then=suspension)
        else:
            yield reason(Code.RETRY_AT, at=None if is_overdue else task.retry_at)
    if task.waiting is not None:
        # The reason was recorded when the run was queued; its start time may have passed since then.
        is_overdue = now is not None and task.waiting_until is not None and task.waiting_until <= now
        yield reason(Code.WAITING, cause=None if is_overdue and task.waiting.code in _START_TIMES else task.waiting)
    if task.is_running and task.running_since is not None:
        yield reason(Code.RUNNING, since=task.running_since, count=task.running, overlap=task.overlap)
    yield from _build_reasons(task, has_sources=has_sources)
    if task.next_execution_time is not None and (pause is not None or task.pause is not None):
        yield reason(Code.AFTER_RESUME, schedule=task.schedule_description)
    elif task.next_execution_time is not None and now is not None and task.next_execution_time < now - _OVERDUE:
        yield reason(Code.OVERDUE, at=task.next_execution_time, schedule=task.schedule_description)
    elif task.next_execution_time is not None:
        yield reason(Code.DUE, at=task.next_execution_time, schedule=task.schedule_description)
    elif task.build and not task.is_disabled and not task.events:
        yield reason(Code.NEVER_DUE, schedule=task.schedule_description)
    if task.build and not task.is_disabled:
        yield from map(event_reason, task.events)
    if task.defaults:
        yield reason(Code.DEFAULTS, names=", ".join(task.defaults))


def _build_reasons(task: TaskView, *, has_sources: bool) -> Iterator[Reason]:
    """Yield why a run would not execute the sources as they are."""
    if task.rolled_back_from and task.build:
        yield reason(Code.ROLLED_BACK, build=task.rolled_back_from, active=task.build)
    if task.is_pinned and task.build:
        yield reason(Code.BUILD_PINNED, build=task.build)
    if task.source_changes and has_sources:
        yield reason(Code.SOURCES_CHANGED, files=", ".join(task.source_changes))


def event_reason(event: str) -> Reason:
    """Return the reason why a task has no due instant: it waits for an event, of which ``event`` is the description."""
    return reason(Code.MANUAL) if event == "manual" else reason(Code.ON_EVENT, event=event)


def _suspension(task: TaskView) -> str:
    """Return what a pending retry does to the occurrences that are due before it; "" if nothing."""
    due, retry_at = task.next_execution_time, task.retry_at
    return _OCCUPIES.get(task.overlap, "") if due is not None and retry_at is not None and due < retry_at else ""
