"""Why does this task not run now? From what everybody sees of it, so that a terminal can tell without an engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo

import msgspec

from keiji.records import Pause
from keiji_engine.bus.views import EngineView, ServiceStatus, ServiceView, TaskView

_NEEDED = ("scheduler", "runner")


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence, and what to do about it; ``remedy`` is "" where there is nothing to do."""

    words: str
    remedy: str = ""


def reasons(
    task: TaskView,
    engine: EngineView | None,
    services: Iterable[ServiceView],
    pause: Pause | None,
    zone: tzinfo,
    *,
    now: datetime | None = None,
) -> tuple[Reason, ...]:
    """Return why a task does not run now, what holds it up first.

    Args:
        engine: None where none runs.
        pause: that of everything.
        zone: in which times are given.
        now: None where it is not known; what has passed is told apart from what is to come by it.
    """
    return tuple(_reasons(task, engine, services, pause, zone, now=now))


def _reasons(
    task: TaskView,
    engine: EngineView | None,
    services: Iterable[ServiceView],
    pause: Pause | None,
    zone: tzinfo,
    *,
    now: datetime | None,
) -> Iterator[Reason]:
    slug = task.slug
    if engine is None:
        yield Reason(words="the engine is offline: nothing runs", remedy="keiji system start")
    for service in services:
        if service.name in _NEEDED and service.status is not ServiceStatus.ONLINE:
            words = f"the {service.name} is {service.status}" + (f": {service.detail}" if service.detail else "")
            yield Reason(words=words, remedy=f"keiji system start --{service.name}")
    if not task.build:
        yield Reason(words="it has no build yet", remedy=f"keiji task build {slug}")
    if task.is_disabled:
        yield Reason(words="it is disabled", remedy=f"keiji task enable {slug}")
    if task.held_since is not None:
        failed = "it failed" if task.failures == 1 else f"it failed {task.failures} times in a row"
        words = f"it is held since {_at(task.held_since, zone)}, because {failed}: {task.error_text}"
        yield Reason(words=words, remedy=f"keiji task resolve {slug}")
    if pause is not None:
        yield Reason(words=f"everything is {_paused(pause, zone)}", remedy="keiji system resume")
    if task.pause is not None:
        yield Reason(words=f"it is {_paused(task.pause, zone)}", remedy=f"keiji task resume {slug}")
    if task.retry_at is not None:
        when = "as soon as there is room" if now and task.retry_at <= now else f"at {_at(task.retry_at, zone)}"
        yield Reason(words=f"it failed, and is tried again {when}")
    if task.waiting:
        # What is said of it was said when it was put into the queue.
        is_past = now is not None and task.waiting_until is not None and task.waiting_until <= now
        why = "it begins as soon as there is room" if is_past and "it starts at" in task.waiting else task.waiting
        yield Reason(words=f"a run that is due has not begun: {why}")
    if task.is_running and task.running_since is not None:
        times = "it is running" if task.running < 2 else f"it is running {task.running} times at once,"
        yield Reason(words=f"{times} since {_at(task.running_since, zone)} ({task.policy.partition(',')[0]})")
    if task.source_changes:
        changed = ", ".join(task.source_changes)
        words = f"its sources differ from the build that runs: {changed}"
        yield Reason(words=words, remedy=f"keiji task build {slug} --restart")
    yield from _when(task, zone)


def _when(task: TaskView, zone: tzinfo) -> Iterator[Reason]:
    if task.next_execution_time is not None:
        yield Reason(words=f"it is due next at {_at(task.next_execution_time, zone)} ({task.schedule_description})")
    elif task.build and not task.is_disabled:
        words = f"it is never due again ({task.schedule_description})"
        yield Reason(words=words, remedy=f"keiji task run {task.slug} runs it by hand; or change its schedule.py")


def _paused(pause: Pause, zone: tzinfo) -> str:
    by = f" by {pause.by}" if pause.by else ""
    return f"paused since {_at(pause.since, zone)}{by}" + (f": {pause.reason}" if pause.reason else "")


def _at(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
