"""The directive behind each action, its equal on the command line, and what is asked before it is sent. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

import msgspec

from keiji_engine.bus.protocol import (
    AnyRequest,
    BuildTask,
    Create,
    Delete,
    Directive,
    Disable,
    Done,
    Enable,
    PauseSystem,
    PauseTask,
    Resolve,
    Restart,
    RestartService,
    ResumeSystem,
    ResumeTask,
    RunTask,
    ServiceDirective,
    Shutdown,
    StartService,
    StopRun,
    StopService,
    TaskDirective,
)
from keiji_engine.bus.views import ServiceView, TaskView
from keiji_tui.actions.action import ActionContext
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.text.sanitise import plain

SENDER = "keiji-tui"

_TASK_VERBS: dict[str, Callable[[TaskView], Directive]] = {
    "toggle": lambda task: (Enable if task.is_disabled else Disable)(task=task.slug, sender=SENDER),
    "pause": lambda task: (ResumeTask if task.pause else PauseTask)(task=task.slug, sender=SENDER),
    "restart": lambda task: Restart(task=task.slug, sender=SENDER),
    "run": lambda task: RunTask(task=task.slug, sender=SENDER),
    "stop": lambda task: StopRun(task=task.slug, sender=SENDER),
    "build": lambda task: BuildTask(task=task.slug, restart=bool(task.source_changes), sender=SENDER),
    "resolve": lambda task: Resolve(task=task.slug, sender=SENDER),
    "delete": lambda task: Delete(task=task.slug, sender=SENDER),
}
_SERVICE_VERBS: dict[str, Callable[[ServiceView], Directive]] = {
    "start-service": lambda service: StartService(service=service.name, sender=SENDER),
    "stop-service": lambda service: StopService(service=service.name, sender=SENDER),
    "restart-service": lambda service: RestartService(service=service.name, sender=SENDER),
}
_BY_VERB: dict[str, type[Directive]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyRequest) if issubclass(kind, Directive)
}
_TELLING = RunTask | Resolve | PauseTask | ResumeTask | PauseSystem | ResumeSystem  # whose further lines matter
_UNDER_WAY = {
    "enable": "enabling", "disable": "disabling", "restart": "restarting", "run": "starting", "stop": "stopping",
    "build": "building", "resolve": "resolving", "delete": "deleting", "start": "starting",
    "pause": "pausing", "resume": "resuming",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before harm is done.

    Args:
        accept: the word on the button that does it.
        typed: what has to be typed; "" where y is enough.
    """

    title: str
    consequence: str
    command: str
    accept: str
    typed: str = ""


def directive_for(action: str, action_context: ActionContext) -> Directive | None:
    """Return what an action asks of the engine; None for one that asks nothing of it."""
    if action in _TASK_VERBS and action_context.task is not None:
        return _TASK_VERBS[action](action_context.task)
    if action in _SERVICE_VERBS and action_context.service is not None:
        return _SERVICE_VERBS[action](action_context.service)
    if action == "pause-all":
        return ResumeSystem(sender=SENDER) if action_context.pause else PauseSystem(sender=SENDER)
    return None


def command_line(directive: Directive) -> str:
    """Return the command that does the same: "keiji task disable ping_google"."""
    if isinstance(directive, ServiceDirective):
        return f"keiji system {directive.verb.removesuffix('-service')} --{directive.service}"
    if isinstance(directive, Shutdown):
        return "keiji system stop"
    if isinstance(directive, PauseSystem | ResumeSystem):
        words = ["keiji", "system", directive.verb.removesuffix("-system")]
        return " ".join(words + _reason(directive))
    words = ["keiji", "task", directive.verb, shlex.quote(directive.target)]
    if isinstance(directive, BuildTask) and directive.restart:
        words.append("--restart")
    if isinstance(directive, Create):
        said = {"desc": directive.description, "schedule": directive.schedule}
        words += [f"--{name}={shlex.quote(value)}" for name, value in said.items() if value]
        words += ["--force"] if directive.force else []
    return " ".join(words + _reason(directive))


def command_of(verb: str, target: str, options: Mapping[str, str | bool]) -> str:
    """Return the command that does what somebody asked for, by what a ledger tells; "" for what is not known here."""
    kind = _BY_VERB.get(verb)
    if kind is None:
        return ""
    name = next((field for field in ("task", "service", "name") if field in kind.__struct_fields__), "")
    try:
        return command_line(msgspec.convert({**options, **({name: target} if name else {})}, kind))
    except msgspec.ValidationError:  # of another version of keiji
        return ""


def _reason(directive: Directive) -> list[str]:
    reason = directive.reason if isinstance(directive, PauseSystem | PauseTask) else ""
    return [f"--reason={shlex.quote(reason)}"] if reason else []


def about(directive: Directive, action_context: ActionContext) -> str:
    """Return the name of what a directive is about, for people."""
    found = action_context.task or action_context.service
    return "everything" if not directive.target else plain(found.name) if found else directive.target


def because(directive: Directive, reason: str) -> Directive:
    """Return a directive with the reason that somebody gave for it."""
    return msgspec.structs.replace(directive, reason=reason)


def under_way(verb: str) -> str:
    """Return how a pending directive reads on a row: "disabling …"."""
    return f"{_UNDER_WAY.get(verb, verb)} …"


def told(directive: Directive, name: str, done: Done) -> str:
    """Return all that a person reads when a directive has been carried out: what was done, what else the engine says
    of it, and the command that does the same."""
    first = _done(directive, name)
    if isinstance(directive, RunTask) and done.lines and not done.lines[0].startswith("running"):
        first = f"{name} is to run; it waits"
    more = done.lines[1:] if isinstance(directive, _TELLING) else ()
    return "\n".join(plain(line) for line in (first, *more, f"$ {command_line(directive)}"))


def _done(directive: Directive, name: str) -> str:
    """Return what was done, with the way back where there is one."""
    if isinstance(directive, Disable):
        return f"{name} disabled – {BY_ID['toggle'].key} enables it again"
    if isinstance(directive, Enable):
        return f"{name} enabled – {BY_ID['toggle'].key} disables it again"
    if isinstance(directive, PauseTask | PauseSystem):
        key = BY_ID["pause" if isinstance(directive, PauseTask) else "pause-all"].key
        return f"{name} paused – {key} resumes it"
    if isinstance(directive, ResumeTask | ResumeSystem):
        return f"{name} resumed"
    if isinstance(directive, Delete):
        built = command_line(BuildTask(task=directive.target, sender=SENDER))
        return f"{name} deleted; its sources stay: {built} makes a task of them again"
    if isinstance(directive, BuildTask):
        return f"{name} built" + (" and restarted" if directive.restart else "")
    if isinstance(directive, TaskDirective):
        words = {"restart": "restarted", "run": "started", "stop": "stopped", "resolve": "resolved"}
        return f"{name} {words.get(directive.verb, directive.verb)}"
    words = {"start-service": "started", "stop-service": "stopped", "restart-service": "restarted"}
    return f"{name} {words.get(directive.verb, directive.verb)}"


def question(directive: Directive, name: str) -> Question:
    """Return what is asked before ``directive`` is sent about the task or service ``name``."""
    command = command_line(directive)
    if isinstance(directive, Delete):
        consequence = "Its record, history, logs and builds are removed, and its run is stopped. Its sources stay."
        return Question(f"Delete {name}?", consequence, command, "Delete", typed=name)
    if isinstance(directive, StopRun):
        return Question(f"Stop {name}?", "Its run is ended, or its retry given up.", command, "Stop")
    if isinstance(directive, Disable):
        consequence = "Its run that is under way is ended. Nothing of it starts until it is enabled again."
        return Question(f"Disable {name}?", consequence, command, "Disable")
    if isinstance(directive, Restart):
        consequence = "A run that is under way is ended; the schedule counts anew from now."
        return Question(f"Restart {name}?", consequence, command, "Restart")
    if isinstance(directive, ServiceDirective):
        word = directive.verb.removesuffix("-service").capitalize()
        consequence = _SERVICE_STOPS.get(directive.service, "")
        return Question(f"{word} the {directive.service}?", consequence, command, word)
    return Question(f"{directive.verb.capitalize()} {name}?", "", command, directive.verb.capitalize())


_SERVICE_STOPS = {
    "bus": "No terminal and no command reaches the engine while it is stopped; tasks run on. keiji system start --bus "
    "or SIGHUP brings it back.",
    "scheduler": "No task is started by its schedule while it is stopped. Runs that are under way go on.",
    "runner": "Nothing can be started while it is stopped. Runs that are under way go on.",
    "watcher": "Edits of sources go unnoticed while it is stopped.",
}
