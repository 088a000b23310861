"""Reasons: their text, their stored form, and the commands that remove them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji.reasons import (
    Code,
    Reason,
    describe_result,
    format_moment,
    from_json,
    reason,
    remedy,
    render,
    text_reason,
    to_json,
)

NAIROBI = ZoneInfo("Africa/Nairobi")
TEN = datetime(2026, 11, 24, 7, tzinfo=UTC)  # 10:00 in Nairobi
AT_TEN = "2026-11-24 10:00:00 EAT"

TEXTS: list[tuple[Code, dict[str, Any], str]] = [
    (Code.TEXT, {"text": "the disk is full"}, "the disk is full"),
    (Code.STILL_RUNNING, {"since": TEN}, f"still running since {AT_TEN}"),
    (Code.STARTED_MEANWHILE, {"at": TEN}, f"handled late, after another run had started at {AT_TEN}"),
    (Code.PREVIOUS_NOT_STARTED, {}, "the previous run has not started"),
    (Code.RETRY_PENDING, {"attempt": 2, "tries": 3, "at": TEN}, f"attempt 2 of 3 is due at {AT_TEN}"),
    (Code.RETRY_PENDING, {"attempt": 2, "tries": 3, "at": None}, "attempt 2 of 3 is due"),
    (Code.QUEUE_FULL, {"waiting": 1}, "the queue is full (1 run waiting)"),
    (Code.QUEUE_FULL, {"waiting": 2}, "the queue is full (2 runs waiting)"),
    (Code.HELD, {"since": TEN, "failures": 1}, f"held since {AT_TEN} after 1 failure in a row, until it is resolved"),
    (Code.HELD, {"since": None, "failures": 3}, "held after 3 failures in a row, until it is resolved"),
    (
        Code.PAUSED,
        {"since": TEN, "by": "keiji", "note": "a broken disk", "all": False},
        f"paused since {AT_TEN} by keiji: a broken disk",
    ),
    (Code.PAUSED, {"since": TEN, "by": "", "note": "", "all": True}, f"everything has been paused since {AT_TEN}"),
    (Code.RUNNER_STOPPED, {}, "the runner was stopped"),
    (Code.CATCH_UP_NONE, {}, "not caught up: the policy has catch_up='none'"),
    (Code.CATCH_UP_WINDOW, {"window": 3600.0}, "not caught up: it was due more than 1h ago (catch_up_window)"),
    (Code.CATCH_UP_CAP, {"cap": 10}, "not caught up: limited to the newest 10 (catch_up_cap)"),
    (Code.COVERED, {"due": TEN}, f"missed; covered by the run due at {AT_TEN}"),
    (Code.COVERED_LATER, {}, "missed; covered by a later run"),
    (Code.COVERED_EARLIER, {}, "missed; covered by an earlier run"),
    (Code.REPLACED, {"due": TEN}, f"replaced by the run due at {AT_TEN}"),
    (Code.REPLACED, {"due": TEN, "manual": True}, f"replaced by the manual run of {AT_TEN}"),
    (Code.REPLACED, {}, "replaced by a later occurrence"),
    (Code.TASK_CHANGED, {"change": "disable"}, "the task was disabled before this occurrence could run"),
    (Code.TASK_CHANGED, {"change": "pause"}, "the task was paused before this occurrence could run"),
    (Code.TASK_CHANGED, {"change": "restart"}, "the task was restarted before this occurrence could run"),
    (Code.TASK_CHANGED, {"change": "schedule"}, "the schedule changed before this occurrence could run"),
    (Code.CAUGHT_UP, {"late": timedelta(seconds=61)}, "caught up, 1m 01s after it was due"),
    (Code.CAUGHT_UP, {"late": timedelta(minutes=2)}, "caught up, 2m after it was due"),
    (Code.CAUGHT_UP, {"late": timedelta(hours=47)}, "caught up, 1d 23h after it was due"),
    (Code.CAUGHT_UP, {"late": timedelta(days=3, hours=5)}, "caught up, 3d 05h after it was due"),
    (Code.JITTER, {"at": TEN}, f"starts at {AT_TEN} (jitter)"),
    (Code.STAGGERED, {"at": TEN}, f"starts at {AT_TEN} (catch-up is staggered)"),
    (Code.FILES_CHANGED, {"files": "/in/a.csv, /in/b.csv"}, "changed: /in/a.csv, /in/b.csv"),
    (Code.WAITING_FOR_PREVIOUS, {}, "waiting for the previous run"),
    (Code.WAITING_FOR_SLOT, {"limit": 1}, "waiting for a slot: 1 run is live (MAX_PARALLEL_RUNS)"),
    (Code.WAITING_FOR_SLOT, {"limit": 5}, "waiting for a slot: 5 runs are live (MAX_PARALLEL_RUNS)"),
    (Code.PARALLEL_LIMIT, {"live": 2, "limit": 2}, "2 of 2 runs are live (max_parallel)"),
    (Code.EXIT_CODE, {"exit_code": 1, "detail": "ValueError: boom"}, "exit code 1: ValueError: boom"),
    (Code.EXIT_CODE, {"exit_code": 1, "detail": ""}, "exit code 1"),
    (
        Code.EXCEPTION,
        {"exit_code": 1, "type": "ValueError", "message": "boom", "file": "function.py", "line": 3},
        "exit code 1: ValueError: boom (function.py:3)",
    ),
    (Code.EXCEPTION, {"type": "app.error", "message": "", "file": None, "line": None}, "app.error"),
    (Code.SIGNAL, {"signal": 9, "detail": ""}, "killed by SIGKILL"),
    (Code.SIGNAL, {"signal": 999, "detail": "boom"}, "killed by signal 999: boom"),
    (Code.TIMEOUT, {"timeout": 0.5, "killed_after": None}, "timed out after 0.5s"),
    (Code.TIMEOUT, {"timeout": 30, "killed_after": 10.0}, "timed out after 30s; killed after another 10s"),
    (Code.STOPPED, {}, "stopped"),
    (Code.STOPPED, {"by": "keiji-tui"}, "stopped by keiji-tui"),
    (Code.STOPPED, {"why": "disable"}, "task disabled"),
    (Code.STOPPED, {"why": "delete"}, "task deleted"),
    (Code.STOPPED, {"why": "restart", "killed_after": 10.0}, "task restarted; killed after another 10s"),
    (Code.NOT_STARTED, {"detail": "no space left"}, "could not be started: no space left"),
    (Code.SUPERVISOR_FAILED, {"detail": "OSError"}, "the shim failed, so the run was killed: OSError"),
    (Code.LOG_INCOMPLETE, {}, "the log could not be written"),
    (Code.NO_TRACE, {}, "no trace of the run: it never started, or its run file was deleted"),
    (Code.NO_RESULT, {}, "the shim ended without recording a result"),
    (Code.MACHINE_REBOOTED, {}, "the machine rebooted before the run ended"),
    (Code.SHIM_KILLED, {}, "the shim was killed before the run started"),
    (Code.UNKNOWN_STATE, {"state": "exploded"}, "a newer version of keiji recorded the state exploded"),
    (Code.RUN_FILE_REMOVED, {}, "the run file was removed while the run was live"),
    (Code.ENGINE_OFFLINE, {}, "the engine is offline: nothing runs"),
    (Code.SERVICE_DOWN, {"service": "runner", "status": "offline", "detail": ""}, "the runner is offline"),
    (
        Code.SERVICE_DOWN,
        {"service": "runner", "status": "failed", "detail": "OSError"},
        "the runner is failed: OSError",
    ),
    (
        Code.DATABASE_UNAVAILABLE,
        {"detail": "the database keiji: the connection is lost", "hint": ""},
        "the database rejects writes, so nothing starts: the database keiji: the connection is lost",
    ),
    (
        Code.LOG_UNWRITABLE,
        {"path": "/srv/a.log", "detail": "No space left on device"},
        "output is lost, since the log /srv/a.log cannot be written: No space left on device",
    ),
    (
        Code.LOG_UNWRITABLE,
        {"path": "/srv/a.log", "detail": ""},
        "output is lost, since the log /srv/a.log cannot be written",
    ),
    (Code.UNREADABLE, {"detail": "policy: x"}, "the task's record in the database cannot be read: policy: x"),
    (Code.OVERDUE, {"at": TEN, "schedule": "every hour"}, f"overdue since {AT_TEN} (every hour)"),
    (Code.NOT_BUILT, {}, "not built yet"),
    (Code.DISABLED, {}, "disabled"),
    (Code.RETRY_AT, {"at": TEN}, f"failed; the next attempt is due at {AT_TEN}"),
    (
        Code.RETRY_AT,
        {"at": TEN, "until_then": "skipped"},
        f"failed; the next attempt is due at {AT_TEN}; until then, the schedule is suspended (occurrences are skipped)",
    ),
    (Code.RETRY_AT, {"at": None}, "failed; retries when a slot is free"),
    (Code.WAITING, {}, "a run that is due has not started"),
    (Code.RUNNING, {"since": TEN, "count": 1, "overlap": "skip"}, f"running since {AT_TEN} (overlap: skip)"),
    (
        Code.RUNNING,
        {"since": TEN, "count": 2, "overlap": "allow"},
        f"2 runs are live, the first since {AT_TEN} (overlap: allow)",
    ),
    (Code.ROLLED_BACK, {"build": "2b", "active": "1a"}, "rolled back from build 2b to build 1a"),
    (Code.BUILD_PINNED, {"build": "1a"}, "the active build 1a is pinned: no other replaces it"),
    (
        Code.SOURCES_CHANGED,
        {"files": "function.py, .env"},
        "the sources differ from the active build: function.py, .env",
    ),
    (Code.SOURCES_MISSING, {"path": "/w/tasks/ping"}, "the sources are missing from /w/tasks/ping"),
    (Code.BUILD_MISSING, {"build": "1f"}, "the files of the active build 1f are missing"),
    (Code.PROGRAM_MISSING, {"detail": "x does not exist"}, "the command cannot be executed: x does not exist"),
    (Code.INTERPRETER_MISSING, {"path": "/bin/py"}, "the interpreter of the active build is missing: /bin/py"),
    (Code.ENV_INVALID, {"detail": "line 1: no key"}, "the .env cannot be used: line 1: no key"),
    (
        Code.DETAILS_CHANGED,
        {"variables": "NAME"},
        "the .env has been changed (NAME); the next build will apply the change",
    ),
    (Code.DUE, {"at": TEN, "schedule": "every hour"}, f"due next at {AT_TEN} (every hour)"),
    (Code.AFTER_RESUME, {"schedule": "every hour"}, "nothing starts until it is resumed (every hour)"),
    (Code.ON_EVENT, {"event": "at start"}, "runs on event: at start"),
    (Code.MANUAL, {}, "manual: runs only when you start it"),
    (Code.NEVER_DUE, {"schedule": "once at 2026-01-01 00:00"}, "never due again (once at 2026-01-01 00:00)"),
    (
        Code.BACKFILL,
        {"backfill": 3, "done": 2, "total": 7},
        "backfill 3 is running: 2 of 7 instants are done",
    ),
    (Code.DEFAULTS, {"names": "timeout, env.LANG"}, "from [defaults] in keiji.toml: timeout, env.LANG"),
]


@pytest.mark.parametrize(("code", "params", "text"), TEXTS)
def test_a_reason_is_rendered_as_a_phrase(code: Code, params: dict[str, Any], text: str) -> None:
    assert render(reason(code, **params), NAIROBI) == text


def test_every_code_has_a_text() -> None:
    assert {code for code, _, _ in TEXTS} == set(Code)


def test_no_reason_has_no_text() -> None:
    assert render(None) == ""


def test_moments_are_shown_in_the_zone_of_the_reader() -> None:
    why = reason(Code.STILL_RUNNING, since=TEN)
    assert render(why) == "still running since 2026-11-24 07:00:00 UTC"
    assert render(why, ZoneInfo("America/New_York")) == "still running since 2026-11-24 02:00:00 EST"
    assert format_moment(TEN, NAIROBI) == AT_TEN


def test_moments_and_durations_are_stored_as_plain_values() -> None:
    in_nairobi = TEN.astimezone(NAIROBI)
    assert reason(Code.DUE, at=in_nairobi, late=timedelta(minutes=1.5)).params == {
        "at": "2026-11-24T07:00:00+00:00",
        "late": 90.0,
    }


def test_the_cause_of_a_reason_follows_it() -> None:
    running = reason(Code.STILL_RUNNING, since=TEN)
    full = reason(Code.QUEUE_FULL, waiting=2, cause=running)
    assert render(full, NAIROBI) == f"the queue is full (2 runs waiting); still running since {AT_TEN}"
    late = reason(Code.CAUGHT_UP, late=90.0)
    assert late.with_cause(None) == late
    assert late.with_cause(full) == Reason(Code.CAUGHT_UP, {"late": 90.0}, full)
    assert late.with_cause(reason(Code.LOG_INCOMPLETE)).with_cause(full).cause == reason(
        Code.LOG_INCOMPLETE, cause=full
    )


def test_a_code_of_another_version_is_shown_with_its_parameters() -> None:
    why = Reason("out-of-fuel", {"liters": 3, "since": TEN.isoformat()}, reason(Code.DISABLED))
    assert render(why, NAIROBI) == f"out-of-fuel, liters: 3, since: {AT_TEN}; disabled"
    assert remedy(why, "ping") == ""


@pytest.mark.parametrize("code", Code)
def test_a_reason_without_its_parameters_is_rendered_all_the_same(code: Code) -> None:
    assert render(Reason(code))
    assert isinstance(remedy(Reason(code), "ping"), str)


PARAMETERS = sorted({name for _, params, _ in TEXTS for name in params})


@given(
    code=st.sampled_from(Code),
    params=st.dictionaries(
        st.sampled_from(PARAMETERS),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([TEN.isoformat()]),
    ),
)
def test_unexpected_parameters_do_not_raise(code: Code, params: dict[str, Any]) -> None:
    assert isinstance(render(Reason(code, params), NAIROBI), str)
    assert isinstance(remedy(Reason(code, params), "ping"), str)


def test_a_moment_that_the_zone_cannot_show_is_shown_as_it_is() -> None:
    earliest = datetime.min.replace(tzinfo=UTC).isoformat()
    text = render(Reason(Code.STILL_RUNNING, {"since": earliest}), ZoneInfo("America/New_York"))
    assert text == f"still running since {earliest}"


# ── stored form ──────────────────────────────────────────────────────────────────────────────────────────────────────

values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
reasons = st.recursive(
    st.builds(Reason, st.sampled_from(Code).map(str) | st.text(min_size=1), st.dictionaries(st.text(), values)),
    lambda causes: st.builds(
        Reason, st.sampled_from(Code).map(str), st.dictionaries(st.text(), values), st.none() | causes
    ),
    max_leaves=4,
)


@given(reasons)
def test_a_stored_reason_is_read_back(why: Reason) -> None:
    assert from_json(to_json(why)) == why


def test_no_reason_is_stored_as_empty_text() -> None:
    assert to_json(None) == ""
    assert from_json("") is None


def test_the_stored_form_has_only_what_is_set() -> None:
    assert json.loads(to_json(reason(Code.DISABLED))) == {"code": "disabled"}


@pytest.mark.parametrize(
    "text",
    [
        "exit code 1: boom",
        "5",
        "null",
        "[]",
        "{}",
        '{"code": 5}',
        '{"code": "disabled", "params": 5}',
        '{"code": "disabled", "cause": "unknown"}',
    ],
)
def test_text_that_is_not_a_stored_reason_becomes_a_text_reason(text: str) -> None:
    assert from_json(text) == text_reason(text)
    assert render(from_json(text)) == text


@given(st.text(min_size=1))
def test_reading_a_stored_reason_does_not_raise(text: str) -> None:
    assert from_json(text) is not None


# ── remedies ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("why", "command"),
    [
        (reason(Code.ENGINE_OFFLINE), "keiji system start"),
        (reason(Code.SERVICE_DOWN, service="runner", status="failed"), "keiji system start --runner"),
        (reason(Code.NOT_BUILT), "keiji task build ping"),
        (reason(Code.DISABLED), "keiji task enable ping"),
        (reason(Code.HELD, since=TEN, failures=3), "keiji task resolve ping"),
        (reason(Code.PAUSED, since=TEN, all=True), "keiji system resume"),
        (reason(Code.PAUSED, since=TEN, all=False), "keiji task resume ping"),
        (reason(Code.ROLLED_BACK, build="2b", active="1a"), "keiji task rollback ping 2b"),
        (reason(Code.BUILD_PINNED, build="1a"), "keiji task unpin ping"),
        (reason(Code.SOURCES_CHANGED, files=".env"), "keiji task build ping --restart"),
        (reason(Code.SOURCES_MISSING, path="/w"), "put them back; or keiji task delete ping"),
        (reason(Code.BUILD_MISSING, build="1f"), "keiji task build ping"),
        (reason(Code.INTERPRETER_MISSING, path="/bin/py"), "keiji task build ping"),
        (reason(Code.ENV_INVALID, detail="line 1: no key"), "correct it; the next run reads it"),
        (reason(Code.DETAILS_CHANGED, variables="NAME"), "keiji task build ping"),
        (reason(Code.MANUAL), "keiji task run ping"),
        (reason(Code.NEVER_DUE, schedule="once"), "keiji task run ping runs it once; or change its schedule.py"),
        (reason(Code.STILL_RUNNING, since=TEN), ""),
        (text_reason("the disk is full"), ""),
    ],
)
def test_the_remedy_is_a_command(why: Reason, command: str) -> None:
    assert remedy(why, "ping") == command


def test_texts_read_as_plain_phrases() -> None:
    for code, params, _ in TEXTS:
        text = render(reason(code, **params), NAIROBI)
        assert not re.search(r"[{}]|None|\dT\d|\s\s|\s$|^[A-Z]", text), text


@pytest.mark.parametrize(
    ("state", "why", "duration", "expected"),
    [
        ("succeeded", None, "2s", "succeeded after 2s"),
        ("failed", reason(Code.EXIT_CODE, exit_code=1), "", "failed: exit code 1"),
        ("failed", reason(Code.EXIT_CODE, exit_code=1), "2s", "failed after 2s: exit code 1"),
        ("stopped", reason(Code.STOPPED, by="keiji"), "", "stopped by keiji"),
        ("stopped", reason(Code.STOPPED, by="keiji"), "2s", "stopped after 2s by keiji"),
        ("stopped", reason(Code.STOPPED), "2s", "stopped after 2s"),
        ("stopped", reason(Code.STOPPED, killed_after=3), "5s", "stopped after 5s; killed after another 3s"),
        ("stopped", reason(Code.STOPPED, why="disable"), "2s", "stopped after 2s: task disabled"),
        ("timed_out", reason(Code.TIMEOUT, timeout=5), "", "timed out after 5s"),
        ("timed_out", reason(Code.TIMEOUT, timeout=5), "5.01s", "timed out after 5.01s: timed out after 5s"),
    ],
)
def test_a_result_does_not_repeat_the_state(state: str, why: Reason | None, duration: str, expected: str) -> None:
    assert describe_result(state, why, duration=duration) == expected
