"""Tasks, services and logs as an engine would tell of them, all at one fixed moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from fake_link import FakeLink

from keiji.parameters import Parameter
from keiji.reasons import Code, Reason, reason
from keiji.records import Pause, Run
from keiji.states import RunState, Trigger
from keiji_engine.bus.explain import explain
from keiji_engine.bus.protocol import LogSlice, Snapshot
from keiji_engine.bus.views import (
    DueInstant,
    EngineView,
    LinkChanged,
    LinkState,
    RecentRun,
    ServiceStatus,
    ServiceView,
    TaskView,
)
from keiji_tui.app import ControlCenter
from keiji_tui.engine.link import LogPart

NOW = datetime(2026, 11, 24, 10, 31, 57, tzinfo=UTC)  # a Tuesday; 13:31:57 in Nairobi
NAIROBI = ZoneInfo("Africa/Nairobi")
HOME = "/home/user"
PARAMETERS = (
    Parameter(name="day", type="date", default="2026-11-01", annotation="date"),
    Parameter(name="rows", type="int", annotation="int"),
    Parameter(name="mode", type="choice", choices=("fast", "full"), default="fast", annotation="Mode"),
    Parameter(name="dry_run", type="bool", default="False", annotation="bool"),
    Parameter(name="note", default=""),
)
FAILED, OK = RunState.FAILED, RunState.SUCCEEDED


def exit_code(number: int) -> Reason:
    return reason(Code.EXIT_CODE, exit_code=number)


def before(**span: float) -> datetime:
    return NOW - timedelta(**span)


def after(**span: float) -> datetime:
    return NOW + timedelta(**span)


PAUSE = Pause(since=NOW - timedelta(minutes=31, seconds=57), reason="the disk is being replaced", by="keiji")


def recent(*seconds: float | str, ended: datetime = NOW, exit_code: int = 2) -> tuple[RecentRun, ...]:
    """Return runs from the oldest on; "x" is one that failed."""
    runs = []
    for index, item in enumerate(seconds):
        is_bad = isinstance(item, str)
        runs.append(
            RecentRun(
                run_id=f"{index:032x}",
                state=FAILED if is_bad else OK,
                finished_at=ended,
                seconds=3.4 if is_bad else float(item),
                exit_code=exit_code if is_bad else 0,
            )
        )
    return tuple(runs)


def task(name: str, **changes: Any) -> TaskView:
    """Return a task that is built, enabled and waits."""
    known: dict[str, Any] = {
        "id": 1,
        "task_id": f"id-of-{name}",
        "name": name,
        "slug": name,
        "schedule": "units:seconds,interval:10",
        "schedule_description": "every 10 seconds",
        "type": "HMS",
        "policy": "overlap: skip · catch-up: latest",
        "build": "b" * 64,
        "next_execution_time": after(seconds=4),
    }
    return TaskView(**{**known, **changes})


def tasks() -> tuple[TaskView, ...]:
    """Return the tasks of the picture that the design drew."""
    return (
        task("ping_google", recent=recent(.2, .2, .3, .2, .2, .9, .2, .2, .2, .21, .2, .2, .21, .2, .2, .2, .2, .2, .2,
                                          .21, ended=before(seconds=6))),
        task("backup", schedule_description="Fridays at 22:00", is_running=True, running_since=before(seconds=131),
             run_id="f" * 32, recent=recent(2880, 2880, 3500, 2890, 2880, 2880, ended=before(days=4))),
        task("report", schedule_description="Mondays at 06:00", is_error=True, error=exit_code(2),
             next_execution_time=datetime(2026, 11, 30, 3, tzinfo=UTC), parameters=PARAMETERS,
             recent=recent(3.4, 3.3, 3.4, "x", "x", "x", ended=before(hours=3))),
        task("scrape", schedule_description="every 5 minutes", is_disabled=True, next_execution_time=None,
             recent=recent(12, 12, 16, ended=before(hours=20))),
        task("flaky", schedule_description="every 20 seconds", retry_at=after(seconds=9), is_queued=True,
             recent=recent(.4, "x", .4, .4, "x", "x", ended=before(seconds=2))),
        task("new_idea", schedule_description="", build=None, next_execution_time=None),
        task("weekly [prod] 報告", slug="weekly_prod_報告", schedule_description="Saturdays at 09:00",
             next_execution_time=datetime(2026, 11, 28, 6, tzinfo=UTC),
             recent=recent(61, 62, 300, 61, ended=before(days=3))),
    )  # fmt: skip


def kept_back() -> tuple[TaskView, ...]:
    """Return tasks that do not start when they are due, each for another reason, and one that runs twice."""
    return (
        task("export", schedule_description="Mondays at 06:00", pause=Pause(since=before(hours=3), by="keiji"),
             recent=recent(3.4, 3.3, 3.4, ended=before(hours=30))),
        task("import_orders", schedule_description="at 02:30 on the last Sunday of the month", zone="Europe/Berlin",
             policy="overlap: skip · catch-up: latest · jitter: 5s · hold after 3 failures · in Europe/Berlin",
             next_execution_time=datetime(2026, 11, 29, 1, 30, tzinfo=UTC), is_error=True, error=exit_code(2),
             failures=3, held_since=before(minutes=21), recent=recent(8, 9, "x", "x", "x", ended=before(minutes=21))),
        task("invoices", schedule_description="every 20 seconds", is_queued=True, waiting_until=before(seconds=3),
             waiting=reason(Code.WAITING_FOR_SLOT, limit=4),
             recent=recent(.4, .4, .4, .4, ended=before(seconds=23))),
        task("mail", schedule_description="every hour", is_queued=True, waiting_until=after(seconds=40),
             waiting=reason(Code.JITTER, at=after(seconds=40)), recent=recent(2, 2, ended=before(hours=1))),
        task("ping_google", recent=recent(.2, .2, .2, ended=before(seconds=6))),
        task("report", schedule_description="weekdays at 06:00", pause=PAUSE, is_error=True, error=exit_code(2),
             recent=recent(3.4, "x", ended=before(hours=3))),
        task("thumbnails", schedule_description="every minute", is_running=True, running=2,
             running_since=before(seconds=131),
             policy="overlap: allow (up to 3 at once) · catch-up: latest", overlap="allow",
             recent=recent(61, 62, 61, ended=before(minutes=2))),
    )  # fmt: skip


def services(**changes: ServiceStatus) -> tuple[ServiceView, ...]:
    return tuple(
        ServiceView(
            name=name,
            status=changes.get(name, ServiceStatus.ONLINE),
            since=before(hours=2),
            detail="the planner ended: ValueError: boom" if changes.get(name) is ServiceStatus.FAILED else "",
        )
        for name in ("bus", "scheduler", "runner", "watcher")
    )


def engine(**changes: Any) -> EngineView:
    known: dict[str, Any] = {
        "pid": 4242, "version": "0.1.0", "boot": "boot-1", "started_at": before(hours=2),
        "workspace": f"{HOME}/keiji", "database": "sqlite", "time_zone": "Africa/Nairobi",
    }  # fmt: skip
    return EngineView(**{**known, **changes})


def snapshot(
    some: Sequence[TaskView] | None = None,
    parts: Sequence[ServiceView] | None = None,
    *,
    boot: str = "boot-1",
    pause: Pause | None = None,
) -> Snapshot:
    return Snapshot(
        id="snapshot",
        boot=boot,
        seq=0,
        engine=engine(boot=boot, pause=pause),
        services=tuple(services() if parts is None else parts),
        tasks=tuple(tasks() if some is None else some),
    )


def logged(*lines: tuple[float, str, str], slug: str = "ping_google", run: str = "r1", position: int = 0) -> LogSlice:
    """Return a log of (seconds before now, level, message as it is quoted); level "" is keiji's own voice."""
    text = "".join(
        f"time={(before(seconds=ago)).isoformat(timespec='milliseconds')} level={level or 'INFO'} "
        f'{f"run={run} " if level else ""}msg="{message}"\n'
        for ago, level, message in lines
    )
    end = position + len(text.encode())
    return LogSlice(id="log", task=slug, position=position, end=end, size=end, text=text)


def ping_log() -> LogSlice:
    return logged(
        (45.836, "", "build 3f9a2c1e is active, every 10 seconds"),
        (36.836, "INFO", "Pinging Google...."),
        (36.799, "INFO", "status:  200"),
        (26.836, "INFO", "Pinging Google...."),
        (26.799, "INFO", r"status:  \x1b[32m200\x1b[0m"),
        (16.836, "INFO", "Pinging Google...."),
        (16.1, "WARN", "slow answer: 0.9s"),
        (16.0, "ERROR", r"Traceback (most recent call last): [/b] [prod]\x1b[2J"),
        (6.836, "INFO", "Pinging Google...."),
        (6.799, "INFO", "status:  200"),
    )


def failed_log(view: TaskView) -> LogSlice:
    """Return a log that ends with the traceback of the last run of a task."""
    return logged(
        (1262.1, "INFO", "fetching orders since 91738"),
        (1261.4, "WARN", "slow answer: 3.2s"),
        (1260.2, "ERROR", "Traceback (most recent call last):"),
        (1260.2, "ERROR", r"  File \"/x/builds/import_orders/3f9a2c1e00000000/src/function.py\", line 41, in function"),
        (1260.2, "ERROR", "    raise ShopError(f'page {page}: {answer.status_code}')"),
        (1260.2, "ERROR", "ShopError: page 7: 503"),
        (1260.1, "ERROR", "run failed after 3.4s: ShopError: page 7: 503 (function.py:41)"),
        slug=view.slug,
        run=view.recent[-1].run_id,
    )


def shop_error(view: TaskView) -> TaskView:
    """Return a task whose last run failed with the exception of `failed_log`."""
    cause = reason(Code.EXCEPTION, type="ShopError", message="page 7: 503", file="function.py", line=41)
    last = msgspec.structs.replace(view.recent[-1], reason=cause, exit_code=1)
    return msgspec.structs.replace(view, recent=(*view.recent[:-1], last))


def history() -> tuple[Run, ...]:
    """Return the runs of a task, newest first."""

    def run(number: int, state: RunState, **changes: Any) -> Run:
        began = before(minutes=10 * number)
        known: dict[str, Any] = {
            "run_id": f"{number:032x}", "task": "ping_google", "trigger": Trigger.SCHEDULE, "state": state,
            "created_at": began, "scheduled_for": began, "started_at": began + timedelta(seconds=0.3),
            "finished_at": began + timedelta(seconds=1.8),
            "exit_code": 0, "cpu_seconds": 0.21, "peak_memory_bytes": 31 * 1024**2,
        }  # fmt: skip
        return Run(**{**known, **changes})

    return (
        run(0, RunState.RUNNING, started_at=NOW, finished_at=None, exit_code=None, trigger=Trigger.MANUAL,
            scheduled_for=None, cpu_seconds=None, peak_memory_bytes=None),
        run(1, RunState.SUCCEEDED),
        run(2, RunState.FAILED, exit_code=2, reason=exit_code(2), attempt=2, trigger=Trigger.RETRY,
            started_at=before(minutes=19), finished_at=before(minutes=19) + timedelta(seconds=1.5)),
        run(3, RunState.FAILED, exit_code=None, signal=9, reason=reason(Code.SIGNAL, signal=9)),
        run(4, RunState.SKIPPED, started_at=None, finished_at=None, exit_code=None, cpu_seconds=None,
            peak_memory_bytes=None, reason=reason(Code.STILL_RUNNING, since=before(minutes=30))),
        run(16, RunState.MISSED, started_at=None, finished_at=None, exit_code=None, cpu_seconds=None,
            peak_memory_bytes=None, count=37, scheduled_until=before(minutes=50),
            reason=reason(Code.CATCH_UP_WINDOW, window=3600)),
        run(200, RunState.STOPPED, exit_code=None, reason=reason(Code.STOPPED, by="keiji-tui")),
    )  # fmt: skip


def explained(link: FakeLink, view: TaskView) -> None:
    """Let the engine say why a task does not run, and that it is due on the last Sundays of months."""
    link.reasons = explain(view, engine(), services(), None)
    link.zone = "Europe/Berlin"
    days = ((2026, 11, 29), (2026, 12, 27), (2027, 1, 31), (2027, 2, 28), (2027, 3, 28), (2027, 4, 25), (2027, 5, 30))
    due = [datetime(*day, 2, 30, tzinfo=ZoneInfo(link.zone)).astimezone(UTC) for day in days]
    instants = [DueInstant(task=view.slug, at=at, starts_at=at) for at in due]
    late = due[0] + timedelta(seconds=4.2)
    instants[0] = msgspec.structs.replace(instants[0], starts_at=late, note="starts 4.2s later (jitter)")
    instants[4] = msgspec.structs.replace(instants[4], note="skipped: gap 02:30", is_skipped=True)
    link.instants = tuple(instants)


def live(*some: TaskView, **options: Any) -> tuple[ControlCenter, FakeLink]:
    """Return a terminal on an engine with these tasks (or those of the picture), and the link to play it."""
    pause = options.pop("pause", None)
    told = snapshot(some or None, pause=pause)
    logs: dict[str, list[LogPart]] = {view.slug: [logged(slug=view.slug)] for view in told.tasks}
    link = FakeLink(told, LinkChanged(LinkState.LIVE), logs=logs | {"ping_google": [ping_log()]})
    link.history = history()
    return center(link, **options), link


def center(link: FakeLink, **options: Any) -> ControlCenter:
    return ControlCenter(link, **{"clock": lambda: NOW, "home": HOME, **options})
