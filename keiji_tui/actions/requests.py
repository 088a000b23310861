"""The directive behind each action, the confirmation it needs, and the message about its outcome. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from keiji_engine.bus.protocol import (
    BuildTask,
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
    StartService,
    StopRun,
    StopService,
    TaskDirective,
)
from keiji_engine.bus.views import ServiceView, TaskView
from keiji_tui.actions.action import ActionContext
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.text.commands import SENDER, command_line
from keiji_tui.text.sanitise import plain

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
_DETAILED = RunTask | Resolve | PauseTask | ResumeTask | PauseSystem | ResumeSystem  # their answers have details
_PROGRESS = {
    "enable": "enabling", "disable": "disabling", "restart": "restarting", "run": "starting", "stop": "stopping",
    "build": "building", "resolve": "resolving", "delete": "deleting", "start": "starting",
    "pause": "pausing", "resume": "resuming",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a confirmation dialog says.

    Args:
        accept: the label of the button that confirms.
        required_text: what the user has to type to confirm; "" if y is enough.
    """

    title: str
    consequence: str
    command: str
    accept: str
    required_text: str = ""


def directive_for(action: str, context: ActionContext) -> Directive | None:
    """Return the directive that an action sends; None for an action that sends none."""
    if action in _TASK_VERBS and context.task is not None:
        return _TASK_VERBS[action](context.task)
    if action in _SERVICE_VERBS and context.service is not None:
        return _SERVICE_VERBS[action](context.service)
    if action == "pause-all":
        return ResumeSystem(sender=SENDER) if context.pause else PauseSystem(sender=SENDER)
    return None


def target_name(directive: Directive, context: ActionContext) -> str:
    """Return the name of the target of a directive, for messages."""
    target = context.task or context.service
    return "everything" if not directive.target else plain(target.name) if target else directive.target


def with_reason(directive: Directive, reason: str) -> Directive:
    """Return a directive with the reason that the user gave."""
    return msgspec.structs.replace(directive, reason=reason)


def progress_label(verb: str) -> str:
    """Return how a row shows a pending directive, such as "disabling …"."""
    return f"{_PROGRESS.get(verb, verb)} …"


def success_message(directive: Directive, name: str, done: Done) -> str:
    """Return the message about a directive that was carried out: its outcome, the details, and the same command."""
    first = _outcome(directive, name)
    if isinstance(directive, RunTask) and done.lines and not done.lines[0].startswith("running"):
        first = f"{name} is to run; it waits"
    details = done.lines[1:] if isinstance(directive, _DETAILED) else ()
    return "\n".join(plain(line) for line in (first, *details, f"$ {command_line(directive)}"))


def _outcome(directive: Directive, name: str) -> str:
    """Return what was done, and the key that undoes it if there is one."""
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


def confirmation(directive: Directive, name: str) -> Confirmation:
    """Return what to ask before ``directive`` is sent to the task or service ``name``."""
    command = command_line(directive)
    if isinstance(directive, Delete):
        consequence = "Its record, history, logs and builds are removed, and its run is stopped. Its sources stay."
        return Confirmation(f"Delete {name}?", consequence, command, "Delete", required_text=name)
    if isinstance(directive, StopRun):
        return Confirmation(f"Stop {name}?", "Its run is ended, or its retry given up.", command, "Stop")
    if isinstance(directive, Disable):
        consequence = "Its run that is under way is ended. Nothing of it starts until it is enabled again."
        return Confirmation(f"Disable {name}?", consequence, command, "Disable")
    if isinstance(directive, Restart):
        consequence = "A run that is under way is ended; the schedule counts anew from now."
        return Confirmation(f"Restart {name}?", consequence, command, "Restart")
    if isinstance(directive, ServiceDirective):
        word = directive.verb.removesuffix("-service").capitalize()
        consequence = _SERVICE_STOPS.get(directive.service, "")
        return Confirmation(f"{word} the {directive.service}?", consequence, command, word)
    return Confirmation(f"{directive.verb.capitalize()} {name}?", "", command, directive.verb.capitalize())


_SERVICE_STOPS = {
    "bus": "No terminal and no command reaches the engine while it is stopped; tasks run on. keiji system start --bus "
    "or SIGHUP brings it back.",
    "scheduler": "No task is started by its schedule while it is stopped. Runs that are under way go on.",
    "runner": "Nothing can be started while it is stopped. Runs that are under way go on.",
    "watcher": "Edits of sources go unnoticed while it is stopped.",
}
