"""The rows of a history: what did not run for one reason shares a row, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from keiji.reasons import Code, reason, text_reason
from keiji.records import Run
from keiji.states import RunState, Trigger
from keiji_tui.state import run_history

NOW = datetime(2026, 11, 24, 10, 31, 57, tzinfo=UTC)
SKIPPED, FAILED = RunState.SKIPPED, RunState.FAILED


def run(number: int, state: RunState, text: str = "", **changes: Any) -> Run:
    """Return what became of the instant that was ``number`` minutes ago."""
    at = NOW - timedelta(minutes=number)
    known: dict[str, Any] = {
        "run_id": f"run-{number}", "task": "ping", "trigger": Trigger.SCHEDULE, "state": state,
        "reason": text_reason(text) if text else None,
        "created_at": at, "scheduled_for": at, "started_at": None if state is SKIPPED else at,
    }  # fmt: skip
    return Run(**{**known, **changes})


def words(*runs: Run) -> list[str]:
    return [row.label for row in run_history.history_rows(runs).values()]


def test_consecutive_occurrences_skipped_for_the_same_reason_share_a_row() -> None:
    held = [
        run(number, SKIPPED, "held since 2026-11-24 10:12:00 EAT, after 2 failures in a row") for number in range(160)
    ]
    found = run_history.history_rows([*held, run(160, FAILED, "exit code 2"), run(161, FAILED, "exit code 2")])
    assert [row.label for row in found.values()] == ["skipped × 160", "failed", "failed"]
    row = found["run-159"]
    assert (row.run.scheduled_for, row.run.scheduled_until) == (held[-1].scheduled_for, held[0].scheduled_for)
    assert row.ids[0] == "run-0"
    assert run_history.summarise(found.values()) == "2 runs, 160 did not run"


def test_a_row_keeps_its_key_as_it_grows() -> None:
    held = [run(number, SKIPPED, "held") for number in range(3)]
    assert list(run_history.history_rows(held)) == list(run_history.history_rows(held[1:])) == ["run-2"]


def test_reasons_that_differ_only_in_numbers_are_the_same() -> None:
    since = [NOW - timedelta(hours=number) for number in range(3)]
    busy = [run(number, SKIPPED, reason=reason(Code.STILL_RUNNING, since=since[number])) for number in range(3)]
    assert words(*busy) == ["skipped × 3"]
    assert words(*busy, run(4, SKIPPED, "held since 10:00:00")) == ["skipped × 3", "skipped"]


def test_a_run_separates_rows_and_runs_never_share_one() -> None:
    assert words(run(0, SKIPPED, "held"), run(1, FAILED), run(2, SKIPPED, "held"), run(3, SKIPPED, "held")) == [
        "skipped", "failed", "skipped × 2",
    ]  # fmt: skip
    assert words(run(0, FAILED, "x"), run(1, FAILED, "x")) == ["failed", "failed"]


def test_occurrences_already_counted_in_one_record_are_added() -> None:
    missed = RunState.MISSED
    first, last = NOW - timedelta(hours=9), NOW - timedelta(hours=1)
    found = run_history.history_rows(
        [
            run(5, missed, "late", started_at=None),
            run(6, missed, "late", started_at=None, count=37, scheduled_for=first, scheduled_until=last),
        ]
    )
    (row,) = found.values()
    assert row.label == "missed × 38"
    assert (row.run.scheduled_for, row.run.scheduled_until) == (first, NOW - timedelta(minutes=5))


def test_a_reason_that_repeats_the_outcome_is_shown_once() -> None:
    def told(run: Run, until: str = "") -> str:
        return run_history.history_rows([run])[run.run_id].summary(until)

    assert told(run(1, FAILED, "exit code 3", exit_code=3)) == "exit code 3"
    assert told(run(1, FAILED, "killed by SIGKILL", signal=9)) == "killed by SIGKILL"
    assert told(run(1, RunState.STOPPED, "stopped by keiji")) == "stopped by keiji"
    assert told(run(1, FAILED, "out of memory", exit_code=3)) == "exit 3: out of memory"
    assert told(run(1, SKIPPED, "held", count=4), " until 10:00") == "skipped × 4 until 10:00: held"
    assert told(run(1, FAILED, exit_code=3)) == ""
