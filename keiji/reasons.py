"""Reasons: why a run is in its state, why a run waits, and why a task does not run. Each is a code with parameters.

The engine records and sends reasons as data, and only `render` turns one into text. The history therefore shows times
in the reader's zone, and no program has to parse English.
"""

from __future__ import annotations

import json
import signal as signals
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from keiji.formats import format_duration, format_moment

Value = str | int | float | bool | None


class Code(StrEnum):
    """Identifies a reason. docs/states.md lists the codes with their parameters."""

    TEXT = "text"

    # occurrences that did not run
    STILL_RUNNING = "still-running"
    STARTED_MEANWHILE = "started-meanwhile"
    PREVIOUS_NOT_STARTED = "previous-not-started"
    RETRY_PENDING = "retry-pending"
    QUEUE_FULL = "queue-full"
    HELD = "held"
    PAUSED = "paused"
    RUNNER_STOPPED = "runner-stopped"
    CATCH_UP_NONE = "catch-up-none"
    CATCH_UP_WINDOW = "catch-up-window"
    CATCH_UP_CAP = "catch-up-cap"
    COVERED = "covered"
    COVERED_LATER = "covered-later"
    COVERED_EARLIER = "covered-earlier"
    REPLACED = "replaced"
    TASK_CHANGED = "task-changed"

    # runs that wait, or that started late
    CAUGHT_UP = "caught-up"
    JITTER = "jitter"
    STAGGERED = "staggered"
    FILES_CHANGED = "files-changed"
    WAITING_FOR_PREVIOUS = "waiting-for-previous"
    WAITING_FOR_SLOT = "waiting-for-slot"
    PARALLEL_LIMIT = "parallel-limit"

    # runs that ended
    EXIT_CODE = "exit-code"
    EXCEPTION = "exception"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    STOPPED = "stopped"
    NOT_STARTED = "not-started"
    SUPERVISOR_FAILED = "supervisor-failed"
    LOG_INCOMPLETE = "log-incomplete"
    NO_TRACE = "no-trace"
    NO_RESULT = "no-result"
    MACHINE_REBOOTED = "machine-rebooted"
    SHIM_KILLED = "shim-killed"
    UNKNOWN_STATE = "unknown-state"
    RUN_FILE_REMOVED = "run-file-removed"

    # tasks that do not run now
    ENGINE_OFFLINE = "engine-offline"
    SERVICE_DOWN = "service-down"
    DATABASE_UNAVAILABLE = "database-unavailable"
    LOG_UNWRITABLE = "log-unwritable"
    UNREADABLE = "unreadable"
    NOT_BUILT = "not-built"
    DISABLED = "disabled"
    RETRY_AT = "retry-at"
    WAITING = "waiting"
    RUNNING = "running"
    ROLLED_BACK = "rolled-back"
    BUILD_PINNED = "build-pinned"
    SOURCES_CHANGED = "sources-changed"
    SOURCES_MISSING = "sources-missing"
    BUILD_MISSING = "build-missing"
    INTERPRETER_MISSING = "interpreter-missing"
    PROGRAM_MISSING = "program-missing"
    ENV_INVALID = "env-invalid"
    DETAILS_CHANGED = "details-changed"
    DUE = "due"
    AFTER_RESUME = "after-resume"
    OVERDUE = "overdue"
    ON_EVENT = "on-event"
    MANUAL = "manual"
    NEVER_DUE = "never-due"
    BACKFILL = "backfill"
    DEFAULTS = "defaults"


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason as data.

    Args:
        code: a `Code`, or a code of a newer version of keiji.
        params: plain JSON values. Moments are ISO 8601 text; durations are seconds.
        cause: what caused this reason, for example why a full queue does not move.
    """

    code: str
    params: dict[str, Value] = field(default_factory=dict)
    cause: Reason | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the reason as plain JSON data; `from_dict` reverses it."""
        data: dict[str, Any] = {"code": str(self.code)}
        if self.params:
            data["params"] = self.params
        if self.cause is not None:
            data["cause"] = self.cause.to_dict()
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reason:
        """Return the reason that `to_dict` stored. Raises KeyError, TypeError or ValueError if ``data`` is invalid."""
        code, cause = data["code"], data.get("cause")
        if not isinstance(code, str):
            raise TypeError(f"the code of a reason is text, not {code!r}")
        return cls(code, dict(data.get("params", {})), cls.from_dict(cause) if cause is not None else None)

    def with_cause(self, cause: Reason | None) -> Reason:
        """Return this reason with ``cause`` appended to its chain of causes."""
        if cause is None:
            return self
        return Reason(self.code, self.params, self.cause.with_cause(cause) if self.cause else cause)


def reason(code: Code, *, cause: Reason | None = None, **params: Value | datetime | timedelta) -> Reason:
    """Return a reason; moments and durations become plain values."""
    return Reason(str(code), {name: _plain(value) for name, value in params.items()}, cause)


def text_reason(text: str) -> Reason:
    """Return a reason that consists of text, for a cause without a code."""
    return reason(Code.TEXT, text=text)


def to_json(why: Reason | None) -> str:
    """Return a reason as JSON text; "" for None."""
    return json.dumps(why.to_dict(), separators=(",", ":")) if why is not None else ""


def from_json(text: str) -> Reason | None:
    """Return the reason that `to_json` stored. Plain text, as earlier versions stored it, becomes a text reason."""
    if not text:
        return None
    try:
        return Reason.from_dict(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return text_reason(text)


def _plain(value: Value | datetime | timedelta) -> Value:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else value


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

_Params = Mapping[str, Any]


def render(why: Reason | None, zone: tzinfo = UTC) -> str:
    """Return a reason as a phrase in English, with moments in ``zone``; "" for None.

    A reason that this version cannot read, since its code is unknown or its parameters are not those of the code, is
    rendered as its code and parameters.
    """
    if why is None:
        return ""
    params = {name: _render_moment(value, zone) if name in _MOMENTS else value for name, value in why.params.items()}
    template = _TEMPLATES.get(why.code)
    try:
        if template is None:
            text = _render_unknown(why.code, params)
        else:
            text = template.format_map(params) if isinstance(template, str) else template(params)
    except (LookupError, TypeError, ValueError, ArithmeticError):
        text = _render_unknown(why.code, params)
    return "; ".join(filter(None, (text, render(why.cause, zone))))


def describe_result(state: str, why: Reason | None, zone: tzinfo = UTC, *, duration: str = "") -> str:
    """Return how a run ended: "failed after 2s: exit code 1", "stopped after 2s by keiji".

    Args:
        state: of the run, such as "timed_out".
        duration: of the run; "" to omit it.
    """
    word, text = state.replace("_", " "), render(why, zone)
    after = f" after {duration}" if duration else ""
    rest = text.removeprefix(word)
    if rest != text and not (after and rest.startswith(" after")):  # the reason begins with the state
        return word + after + rest
    return word + after + (f": {text}" if text else "")


def remedy(why: Reason, task: str) -> str:
    """Return the command that removes the reason why ``task`` (a slug) does not run; "" if there is none."""
    if why.code == Code.PAUSED:
        return "keiji system resume" if why.params.get("all") else f"keiji task resume {task}"
    try:
        return _REMEDIES.get(why.code, "").format_map({**why.params, "task": task})
    except LookupError:
        return ""


_MOMENTS = frozenset({"since", "at", "due"})


def _render_moment(value: Any, zone: tzinfo) -> Any:
    try:
        return format_moment(datetime.fromisoformat(value), zone)
    except (TypeError, ValueError, OverflowError):
        return value  # absent, or written by another version


def _render_unknown(code: str, params: _Params) -> str:
    return code + "".join(f", {name}: {value}" for name, value in params.items())


def _append_detail(text: str, detail: object) -> str:
    return f"{text}: {detail}" if detail else text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _retry_pending(params: _Params) -> str:
    moment = f" at {params['at']}" if params.get("at") else ""
    return f"attempt {params['attempt']} of {params['tries']} is due{moment}"


def _held(params: _Params) -> str:
    since = f" since {params['since']}" if params.get("since") else ""
    return f"held{since} after {_count(params['failures'], 'failure')} in a row, until it is resolved"


def _paused(params: _Params) -> str:
    client = f" by {params['by']}" if params.get("by") else ""
    scope = "everything has been paused" if params.get("all") else "paused"
    return _append_detail(f"{scope} since {params['since']}{client}", params.get("note"))


def _replaced(params: _Params) -> str:
    if not params.get("due"):
        return "replaced by a later occurrence"
    kind = "manual run of" if params.get("manual") else "run due at"
    return f"replaced by the {kind} {params['due']}"


def _catch_up_window(params: _Params) -> str:
    window = format_duration(params["window"])
    return f"not caught up: it was due more than {window} ago (catch_up_window)"


def _waiting_for_slot(params: _Params) -> str:
    limit = params["limit"]
    return f"waiting for a slot: {_count(limit, 'run')} {'is' if limit == 1 else 'are'} live (MAX_PARALLEL_RUNS)"


def _signal(params: _Params) -> str:
    number = params["signal"]
    try:
        name = signals.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return _append_detail(f"killed by {name}", params.get("detail"))


def _exception(params: _Params) -> str:
    """Describe an exception. Those in a group have no exit code; an exception that was not raised has no location."""
    text = _append_detail(params["type"], params.get("message"))
    if params.get("file"):
        text += f" ({params['file']}:{params['line']})" if params.get("line") else f" ({params['file']})"
    code = params.get("exit_code")
    return text if code is None else f"exit code {code}: {text}"


def _append_kill(text: str, params: _Params) -> str:
    after = params.get("killed_after")
    return text if after is None else f"{text}; killed after another {format_duration(after)}"


def _stopped(params: _Params) -> str:
    """Describe a stop by a directive: ``why`` is its verb, ``by`` the client program."""
    verb, client = params.get("why"), params.get("by")
    text = {"disable": "task disabled", "delete": "task deleted", "restart": "task restarted"}.get(verb or "", "")
    return _append_kill(text or (f"stopped by {client}" if client else "stopped"), params)


_TASK_CHANGES = {
    "disable": "the task was disabled before this occurrence could run",
    "pause": "the task was paused before this occurrence could run",
    "restart": "the task was restarted before this occurrence could run",
    "schedule": "the schedule changed before this occurrence could run",
}


def _running(params: _Params) -> str:
    runs = f"{params['count']} runs are live, the first" if params["count"] > 1 else "running"
    return f"{runs} since {params['since']} (overlap: {params['overlap']})"


def _retry_at(params: _Params) -> str:
    if not params.get("at"):
        return "failed; retries when a slot is free"
    text = f"failed; the next attempt is due at {params['at']}"
    consequence = params.get("until_then")
    return f"{text}; until then, the schedule is suspended (occurrences are {consequence})" if consequence else text


_TEMPLATES: dict[str, str | Callable[[_Params], str]] = {
    Code.TEXT: lambda params: str(params["text"]),
    Code.STILL_RUNNING: "still running since {since}",
    Code.STARTED_MEANWHILE: "handled late, after another run had started at {at}",
    Code.PREVIOUS_NOT_STARTED: "the previous run has not started",
    Code.RETRY_PENDING: _retry_pending,
    Code.QUEUE_FULL: lambda params: f"the queue is full ({_count(params['waiting'], 'run')} waiting)",
    Code.HELD: _held,
    Code.PAUSED: _paused,
    Code.RUNNER_STOPPED: "the runner was stopped",
    Code.CATCH_UP_NONE: "not caught up: the policy has catch_up='none'",
    Code.CATCH_UP_WINDOW: _catch_up_window,
    Code.CATCH_UP_CAP: "not caught up: limited to the newest {cap} (catch_up_cap)",
    Code.COVERED: "missed; covered by the run due at {due}",
    Code.COVERED_LATER: "missed; covered by a later run",
    Code.COVERED_EARLIER: "missed; covered by an earlier run",
    Code.REPLACED: _replaced,
    Code.TASK_CHANGED: lambda params: _TASK_CHANGES[params["change"]],
    Code.CAUGHT_UP: lambda params: f"caught up, {format_duration(params['late'])} after it was due",
    Code.JITTER: "starts at {at} (jitter)",
    Code.STAGGERED: "starts at {at} (catch-up is staggered)",
    Code.FILES_CHANGED: "changed: {files}",
    Code.WAITING_FOR_PREVIOUS: "waiting for the previous run",
    Code.WAITING_FOR_SLOT: _waiting_for_slot,
    Code.PARALLEL_LIMIT: "{live} of {limit} runs are live (max_parallel)",
    Code.EXIT_CODE: lambda params: _append_detail(f"exit code {params['exit_code']}", params.get("detail")),
    Code.EXCEPTION: _exception,
    Code.SIGNAL: _signal,
    Code.TIMEOUT: lambda params: _append_kill(f"timed out after {format_duration(params['timeout'])}", params),
    Code.STOPPED: _stopped,
    Code.NOT_STARTED: lambda params: _append_detail("could not be started", params.get("detail")),
    Code.SUPERVISOR_FAILED: lambda params: _append_detail(
        "the shim failed, so the run was killed", params.get("detail")
    ),
    Code.LOG_INCOMPLETE: "the log could not be written",
    Code.NO_TRACE: "no trace of the run: it never started, or its run file was deleted",
    Code.NO_RESULT: "the shim ended without recording a result",
    Code.MACHINE_REBOOTED: "the machine rebooted before the run ended",
    Code.SHIM_KILLED: "the shim was killed before the run started",
    Code.UNKNOWN_STATE: "a newer version of keiji recorded the state {state}",
    Code.RUN_FILE_REMOVED: "the run file was removed while the run was live",
    Code.ENGINE_OFFLINE: "the engine is offline: nothing runs",
    Code.SERVICE_DOWN: lambda params: _append_detail(
        f"the {params['service']} is {params['status']}", params.get("detail")
    ),
    Code.DATABASE_UNAVAILABLE: "the database rejects writes, so nothing starts: {detail}",
    Code.LOG_UNWRITABLE: lambda params: _append_detail(
        f"output is lost, since the log {params['path']} cannot be written", params.get("detail")
    ),
    Code.UNREADABLE: "the task's record in the database cannot be read: {detail}",
    Code.NOT_BUILT: "not built yet",
    Code.DISABLED: "disabled",
    Code.RETRY_AT: _retry_at,
    Code.WAITING: "a run that is due has not started",
    Code.RUNNING: _running,
    Code.ROLLED_BACK: "rolled back from build {build} to build {active}",
    Code.BUILD_PINNED: "the active build {build} is pinned: no other replaces it",
    Code.SOURCES_CHANGED: "the sources differ from the active build: {files}",
    Code.SOURCES_MISSING: "the sources are missing from {path}",
    Code.BUILD_MISSING: "the files of the active build {build} are missing",
    Code.INTERPRETER_MISSING: "the interpreter of the active build is missing: {path}",
    Code.PROGRAM_MISSING: "the command cannot be executed: {detail}",
    Code.ENV_INVALID: "the .env cannot be used: {detail}",
    Code.DETAILS_CHANGED: "the .env has been changed ({variables}); the next build will apply the change",
    Code.DUE: "due next at {at} ({schedule})",
    Code.AFTER_RESUME: "nothing starts until it is resumed ({schedule})",
    Code.OVERDUE: "overdue since {at} ({schedule})",
    Code.ON_EVENT: "runs on event: {event}",
    Code.MANUAL: "manual: runs only when you start it",
    Code.NEVER_DUE: "never due again ({schedule})",
    Code.BACKFILL: "backfill {backfill} is running: {done} of {total} instants are done",
    Code.DEFAULTS: "from [defaults] in keiji.toml: {names}",
}

_REMEDIES: dict[str, str] = {
    Code.ENGINE_OFFLINE: "keiji system start",
    Code.SERVICE_DOWN: "keiji system start --{service}",
    Code.DATABASE_UNAVAILABLE: "{hint}",
    Code.LOG_UNWRITABLE: "free space on its disk, or make it writable; the engine notices it",
    Code.UNREADABLE: "keiji task build {task}",
    Code.NOT_BUILT: "keiji task build {task}",
    Code.DISABLED: "keiji task enable {task}",
    Code.HELD: "keiji task resolve {task}",
    Code.ROLLED_BACK: "keiji task rollback {task} {build}",
    Code.BUILD_PINNED: "keiji task unpin {task}",
    Code.SOURCES_CHANGED: "keiji task build {task} --restart",
    Code.SOURCES_MISSING: "put them back; or keiji task delete {task}",
    Code.BUILD_MISSING: "keiji task build {task}",
    Code.INTERPRETER_MISSING: "keiji task build {task}",
    Code.ENV_INVALID: "correct it; the next run reads it",
    Code.DETAILS_CHANGED: "keiji task build {task}",
    Code.MANUAL: "keiji task run {task}",
    Code.NEVER_DUE: "keiji task run {task} runs it once; or change its schedule.py",
}
