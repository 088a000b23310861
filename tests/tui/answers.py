"""What an engine would answer about its ledger, a difference, a build and the coming day, at the moment of `scenes`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from scenes import NOW, before, task

from keiji.reasons import Code, reason
from keiji.records import FileDifference
from keiji.states import BackfillState
from keiji_engine.bus.protocol import ActiveBuild, BackfillPlan, Difference, Timeline
from keiji_engine.bus.views import BackfillInstant, BackfillView, DirectiveView, DueInstant, FrequentTask, TaskView

FAILURE = (
    "function.py, line 3: invalid syntax",
    "        print('hello'",
    "             ^",
    "SyntaxError: '(' was never closed",
    "the build before it (3f9a2c1e00000000) stays active",
)
BUILT = (
    "task found , building...",
    "scheduling function... every 10 seconds",
    "sourcePath: /home/user/keiji/tasks/ping_google",
    "executable path /home/user/.local/share/keiji/exec/tasks/ping_google",
    "executable created (build 3f9a2c1e00000000)",
    "task saved",
    "next: Tue 2026-11-24 13:32:01, Tue 2026-11-24 13:32:11, Tue 2026-11-24 13:32:21",
)


def ledger() -> tuple[DirectiveView, ...]:
    """Return what somebody and others asked of an engine, newest first."""

    def view(number: int, verb: str, target: str, *lines: str, **changes: object) -> DirectiveView:
        at = before(minutes=7 * number)
        known: dict[str, object] = {
            "sender": "keiji-tui",
            "user": "deploy",
            "sudo_user": "ada" if verb.endswith("-service") else "",
            "stage": "done",
            "completed_at": at + timedelta(seconds=0.012),
        }
        return DirectiveView(
            id=f"directive-{number}", verb=verb, target=target, received_at=at, lines=lines, **{**known, **changes}
        )  # type: ignore[arg-type]

    return (
        view(0, "build", "ping_google", stage="accepted", completed_at=None),
        view(1, "build", "report", *FAILURE, stage="refused", completed_at=before(minutes=6, seconds=58.6)),
        view(2, "disable", "scrape", "disabled task scrape"),
        view(3, "build", "ping_google", *BUILT, sender="keiji", completed_at=before(minutes=20, seconds=57.2)),
        view(4, "run", "weekly_prod_報告", "running task weekly [prod] 報告 (run 0660f23f)", sender="cron [ci]"),
        view(5, "pause-system", "", "paused everything", sender="keiji"),
        view(6, "resume-system", "", "resumed everything", sender="keiji"),
        view(30, "restart-service", "scheduler", "restarted scheduler"),
        view(400, "delete", "old_one", "the engine ended while it carried this out, and may have done a part of it",
             "look at the task, and ask again if it was not done", stage="lost", completed_at=None),
    )  # fmt: skip


def differing() -> Difference:
    """Return a difference with every kind of file."""
    function = FileDifference(
        path="function.py",
        change="edited",
        lines=(
            "@@ -1,7 +1,8 @@",
            " import requests",
            " ",
            " def function():",
            '-    print("Pinging Google....")',
            "-    answer = requests.get('https://www.google.com', timeout=5)",
            '+    """Say [bold]hello[/bold] to Google, and how long that took."""',
            '+    print("Pinging Google ....", flush=True)',
            "+    answer = requests.get('https://www.google.com', timeout=5, headers={'User-Agent': 'keiji'}, "
            "allow_redirects=False)",
            '     print("status: ", answer.status_code)',
            " \treturn answer.ok",
            "\\ no newline at the end of the file",
        ),
    )
    return Difference(
        id="difference",
        task="ping_google",
        build="3f9a2c1e00000000",
        files=(
            function,
            FileDifference(path="logo.png", change="edited", note="binary"),
            FileDifference(
                path="old/[b]helper[/b].py", change="removed", lines=("@@ -1,2 +0,0 @@", "-x = 1", "-y = 2")
            ),
            FileDifference(path="prod.env", change="added", note="not shown: it may hold secrets"),
            FileDifference(path="schedule.py", change="mode", note="is executable now"),
        ),
    )


def build(name: str = "b" * 64) -> ActiveBuild:
    return ActiveBuild(
        id="build", task="", hash=name, created_at=before(days=3, hours=2), import_seconds=0.043, files=4
    )


def daily() -> tuple[TaskView, ...]:
    """Return tasks that are due at times of a day."""
    return (
        task(
            "backup",
            schedule_description="every day at 22:00",
            next_execution_time=datetime(2026, 11, 24, 19, tzinfo=UTC),
        ),
        task("invoices", schedule_description="every day at 22:00", next_execution_time=None, is_disabled=True),
        task("mail", schedule_description="every 3 hours"),
        task("ping_google"),
        task("report", schedule_description="weekdays at 06:00", zone="Europe/Berlin"),
        task("thumbnails", schedule_description="every minute", next_execution_time=NOW + timedelta(seconds=3)),
        task("weekly [prod] 報告", slug="weekly", schedule_description="every day at 22:00"),
    )


def day() -> Timeline:
    """Return when those are due."""

    def due(slug: str, at: datetime, note: str = "", *, is_skipped: bool = False) -> DueInstant:
        return DueInstant(task=slug, at=at, starts_at=at, note=note, is_skipped=is_skipped)

    night = datetime(2026, 11, 24, 19, tzinfo=UTC)
    mails = [due("mail", datetime(2026, 11, 24, 10, 45, tzinfo=UTC) + timedelta(hours=3 * n)) for n in range(8)]
    others = [
        due("backup", night, "starts 4.2s later (jitter)"),
        due("invoices", night),
        due("weekly", night),
        due("report", datetime(2026, 11, 25, 1, 30, tzinfo=UTC), "skipped: gap 02:30", is_skipped=True),
        due("report", datetime(2026, 11, 25, 5, 0, 17, tzinfo=UTC)),
    ]
    often = (
        FrequentTask(task="ping_google", next_at=NOW + timedelta(seconds=4)),
        FrequentTask(task="thumbnails", next_at=NOW + timedelta(seconds=3)),
    )
    instants = tuple(sorted((*mails, *others), key=lambda each: (each.at, each.task)))
    return Timeline(id="agenda", until=NOW + timedelta(days=1), instants=instants, frequent_tasks=often)


def backfill(number: int, **changes: Any) -> BackfillView:
    """Return a backfill of a week of mornings, as of which nothing has run."""
    known: dict[str, Any] = {
        "id": number, "task": "report", "zone": "Africa/Nairobi", "schedule": "every day at 06:00",
        "first": datetime(2026, 11, 1, 3, tzinfo=UTC), "last": datetime(2026, 11, 7, 3, tzinfo=UTC), "parallel": 1,
        "again": False, "state": BackfillState.RUNNING, "next_at": datetime(2026, 11, 5, 3, tzinfo=UTC), "total": 7,
        "skipped": 0, "succeeded": 0, "failed": 0, "open": 0, "created_at": before(minutes=12), "created_by": "keiji",
    }  # fmt: skip
    return BackfillView(**{**known, **changes})


def backfills() -> tuple[BackfillView, ...]:
    """Return one that runs, one that was stopped, and one that is done, newest first."""
    return (
        backfill(3, succeeded=2, skipped=1, waiting=reason(Code.WAITING_FOR_SLOT, limit=4)),
        backfill(2, task="weekly_prod_報告", state=BackfillState.STOPPED, succeeded=40, failed=2, total=365, open=1,
                 again=True, parallel=2, created_at=before(hours=3), finished_at=before(hours=2)),
        backfill(1, task="backup", state=BackfillState.DONE, succeeded=5, failed=2, next_at=None,
                 created_at=before(days=3), finished_at=before(days=3), created_by="keiji-tui"),
    )  # fmt: skip


def backfill_plan() -> BackfillPlan:
    """Return a week of which two mornings have succeeded."""
    days = [datetime(2026, 11, day, 3, tzinfo=UTC) for day in range(1, 8)]
    instants = tuple(BackfillInstant(at=at, has_succeeded=at.day in (2, 3)) for at in days)
    return BackfillPlan(id="p", task="report", zone="Africa/Nairobi", instants=instants)
