"""run: start a task now, independently of its schedule."""

from __future__ import annotations

import re
from collections.abc import Mapping

from keiji.errors import InvalidPolicy, NotBuilt, UsageError
from keiji.parameters import find_problem, signature
from keiji.policy import Policy
from keiji.reasons import render
from keiji.records import Build, Overrides, Task
from keiji_engine.bus.protocol import Done, RunTask
from keiji_engine.handlers.context import Context


async def run(context: Context, request: RunTask) -> Done:
    """Start a run.

    Raises NotBuilt, TaskBroken, AlreadyRunning, EngineOffline, ServiceOffline, and UsageError for invalid parameters
    or overrides.
    """
    overrides = _overrides(request)
    async with context.locked_task(request.task) as task:
        context.check_readable(task)
        check_parameters(task, context.state.build(task.slug), request.params)
        started = await context.require_runs().request(task, request.params, overrides)
    if started.is_live:
        lines = [f"running task {task.name} (run {started.run_id})"]
    else:
        lines = [f"task {task.name}: {render(started.reason, context.zone(task))} (run {started.run_id})"]
    if task.is_disabled:
        lines.append("it is disabled: this is the only run until it is enabled")
    elif task.pause is not None or context.state.pause is not None:
        lines.append("it is paused: this is the only run until it is resumed")
    elif task.held_at is not None:
        lines.append("it is held: this is the only run until it is resolved")
    return Done(id=request.id, lines=tuple(lines))


def check_parameters(task: Task, build: Build | None, params: Mapping[str, object]) -> None:
    """Check the parameters of a run. Raises NotBuilt; UsageError, whose hint is the signature of the task."""
    if build is None:
        raise NotBuilt.named(task.name, task.slug)
    known = build.execution.parameters
    values = {name: str(value) for name, value in params.items()}
    if problem := find_problem(known, values):
        if not known:
            raise UsageError(
                f"{task.name} has no parameters, so {' '.join(values)} cannot be set", hint=signature(task.name, ())
            )
        raise UsageError(f"{task.name}: {problem}", hint=signature(task.name, known))


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def _overrides(request: RunTask) -> Overrides | None:
    """Return what differs in this run; None if nothing does. Raises UsageError."""
    for name, value in request.env.items():
        if not _VARIABLE.fullmatch(name):
            raise UsageError(f"{name!r} is not a valid name of an environment variable")
        if name.startswith("KEIJI_"):
            raise UsageError(f"{name} cannot be set: names that start with KEIJI_ are set by keiji")
        if "\0" in value:
            raise UsageError(f"the value of {name} contains a null character")
    if request.timeout is not None:
        try:
            Policy(timeout=request.timeout)
        except InvalidPolicy as error:
            raise UsageError(error.message.replace("Policy(timeout", "timeout").replace("):", ":")) from error
    if request.due is not None and request.due.tzinfo is None:
        raise UsageError(f"the due time {request.due.isoformat()} has no UTC offset")
    if not request.env and request.timeout is None and request.due is None:
        return None
    return Overrides(env=request.env, timeout=request.timeout, due=request.due)
