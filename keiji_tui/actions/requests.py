"""The directive behind each action, the confirmation it needs, and the message with its outcome. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from keiji_engine.bus.protocol import (
    BackfillTask,
    BuildTask,
    Delete,
    Directive,
    Disable,
    Done,
    Enable,
    PauseSystem,
    PauseTask,
    RerunTask,
    Resolve,
    Restart,
    RestartService,
    ResumeBackfill,
    ResumeSystem,
    ResumeTask,
    RunTask,
    ServiceDirective,
    StartService,
    StopBackfill,
    StopRun,
    StopService,
    TaskDirective,
)
from keiji_engine.bus.views import BackfillView, ServiceView, TaskView
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
_BACKFILL_VERBS: dict[str, Callable[[BackfillView], Directive]] = {
    "stop-backfill": lambda backfill: StopBackfill(task=backfill.task, backfill=backfill.id, sender=SENDER),
    "resume-backfill": lambda backfill: ResumeBackfill(task=backfill.task, backfill=backfill.id, sender=SENDER),
}
_DETAILED = RunTask | Resolve | PauseTask | ResumeTask | PauseSystem | ResumeSystem  # the answers of these have details
_SAID_BY_ENGINE = RerunTask | BackfillTask | StopBackfill | ResumeBackfill  # the first line is the outcome
_PROGRESS = {
    "enable": "enabling", "disable": "disabling", "restart": "restarting", "run": "starting", "stop": "stopping",
    "build": "building", "resolve": "resolving", "delete": "deleting", "start": "starting",
    "pause": "pausing", "resume": "resuming", "rerun": "starting", "backfill": "starting",
    "stop-backfill": "stopping", "resume-backfill": "continuing",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The texts of a confirmation dialog.

    Args:
        accept: the label of the confirming button.
        required_text: the text to type as confirmation; "" if pressing y is enough.
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
    if action in _BACKFILL_VERBS and context.backfill is not None:
        return _BACKFILL_VERBS[action](context.backfill)
    if action == "rerun" and context.run is not None:
        return RerunTask(task=context.run.task, run=context.run.run_id, sender=SENDER)
    if action == "pause-all":
        return ResumeSystem(sender=SENDER) if context.pause else PauseSystem(sender=SENDER)
    return None


def target_name(directive: Directive, context: ActionContext) -> str:
    """Return the name of the target of a directive, for messages."""
    target = context.task or context.service
    return "everything" if not directive.target else plain(target.name) if target else directive.target


def with_reason(directive: Directive, reason: str) -> Directive:
    """Return a copy of a directive with the reason that the user entered."""
    return msgspec.structs.replace(directive, reason=reason)


def progress_label(verb: str) -> str:
    """Return the label of a pending directive in a row, such as "disabling …"."""
    return f"{_PROGRESS.get(verb, verb)} …"


def success_message(directive: Directive, name: str, done: Done) -> str:
    """Return the message for a completed directive: its outcome, details, and the equivalent command."""
    if isinstance(directive, _SAID_BY_ENGINE) and done.lines:
        return "\n".join(plain(line) for line in (done.lines[0], f"$ {command_line(directive)}"))
    outcome = _outcome(directive, name)
    if isinstance(directive, RunTask) and done.lines and not done.lines[0].startswith("running"):
        outcome = f"{name} is queued to run"
    details = done.lines[1:] if isinstance(directive, _DETAILED) else ()
    return "\n".join(plain(line) for line in (outcome, *details, f"$ {command_line(directive)}"))


def _outcome(directive: Directive, name: str) -> str:
    """Return the outcome, and the key that undoes it if there is one."""
    if isinstance(directive, Disable):
        return f"{name} disabled – press {BY_ID['toggle'].key} to enable it"
    if isinstance(directive, Enable):
        return f"{name} enabled – press {BY_ID['toggle'].key} to disable it"
    if isinstance(directive, PauseTask | PauseSystem):
        key = BY_ID["pause" if isinstance(directive, PauseTask) else "pause-all"].key
        return f"{name} paused – press {key} to resume"
    if isinstance(directive, ResumeTask | ResumeSystem):
        return f"{name} resumed"
    if isinstance(directive, Delete):
        build_command = command_line(BuildTask(task=directive.target, sender=SENDER))
        return f"{name} deleted; its sources are kept – {build_command} restores it"
    if isinstance(directive, BuildTask):
        return f"{name} built" + (" and restarted" if directive.restart else "")
    if isinstance(directive, TaskDirective):
        participles = {"restart": "restarted", "run": "started", "stop": "stopped", "resolve": "resolved"}
        return f"{name} {participles.get(directive.verb, directive.verb)}"
    participles = {"start-service": "started", "stop-service": "stopped", "restart-service": "restarted"}
    return f"{name} {participles.get(directive.verb, directive.verb)}"


def confirmation(directive: Directive, name: str) -> Confirmation:
    """Return the confirmation required before ``directive`` is sent to the task or service ``name``."""
    command = command_line(directive)
    if isinstance(directive, Delete):
        consequence = "This stops its live runs and removes its record, history, logs and builds. Its sources are kept."
        return Confirmation(f"Delete {name}?", consequence, command, "Delete", required_text=name)
    if isinstance(directive, StopRun):
        return Confirmation(f"Stop {name}?", "This stops its live runs and cancels a pending retry.", command, "Stop")
    if isinstance(directive, Disable):
        consequence = "This stops its live run. The task does not run again until you enable it."
        return Confirmation(f"Disable {name}?", consequence, command, "Disable")
    if isinstance(directive, Restart):
        consequence = "This stops its live runs and restarts its schedule from now."
        return Confirmation(f"Restart {name}?", consequence, command, "Restart")
    if isinstance(directive, RerunTask):
        consequence = "The run is repeated with its parameters and its due time; its schedule is not affected."
        return Confirmation(f"Run {name} again?", consequence, command, "Run again")
    if isinstance(directive, StopBackfill):
        consequence = "It starts no more runs until you continue it. Live runs are not affected."
        return Confirmation(f"Stop backfill {directive.backfill} of {name}?", consequence, command, "Stop")
    if isinstance(directive, ServiceDirective):
        verb = directive.verb.removesuffix("-service").capitalize()
        consequence = _SERVICE_STOPS.get(directive.service, "")
        return Confirmation(f"{verb} the {directive.service}?", consequence, command, verb)
    return Confirmation(f"{directive.verb.capitalize()} {name}?", "", command, directive.verb.capitalize())


_SERVICE_STOPS = {
    "bus": "While it is stopped, no terminal or command can reach the engine; tasks keep running. Start it again with "
    "keiji system start --bus or SIGHUP.",
    "scheduler": "While it is stopped, scheduled runs do not start. Live runs continue.",
    "runner": "While it is stopped, no run can start. Live runs continue.",
    "watcher": "While it is stopped, source changes go unnoticed.",
}
