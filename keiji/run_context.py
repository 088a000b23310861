"""What a run knows about itself: the environment variables that the engine sets, and their counterpart for Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from keiji.records import Run

# Every task imports this module, so json and pathlib are imported when they are needed.


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentRun:
    """The run that executes this code.

    Args:
        task: the name of the task; "" outside keiji.
        run_id: "" outside keiji, for example in a test.
        attempt: number of the attempt, from 1.
        trigger: "schedule", "manual", "retry", "rerun", "backfill", "at_start" or "on_change".
        build: folder of the sources that are executed; None outside keiji.
        params: the parameters that the run was started with, as text.
        due: the scheduled time that the run covers, in the time zone of the task; None for a manual run without one.
        due_from: the first instant that it covers, if there are several because it catches up.
        due_count: the number of instants that it covers.
    """

    task: str = ""
    run_id: str = ""
    attempt: int = 1
    trigger: str = "manual"
    build: Path | None = None
    params: dict[str, str] = field(default_factory=dict)
    due: datetime | None = None
    due_from: datetime | None = None
    due_count: int = 1


def current_run() -> CurrentRun:
    """Return the run that executes this code, as its environment describes it. Outside keiji, all fields are empty."""
    import json
    from pathlib import Path

    variables = os.environ
    due, due_from = (variables.get(name) for name in ("KEIJI_DUE", "KEIJI_DUE_FROM"))
    build = variables.get("KEIJI_BUILD")
    return CurrentRun(
        task=variables.get("KEIJI_TASK", ""),
        run_id=variables.get("KEIJI_RUN_ID", ""),
        attempt=int(variables.get("KEIJI_ATTEMPT", "1")),
        trigger=variables.get("KEIJI_TRIGGER", "manual"),
        build=Path(build) if build else None,
        params={name: str(value) for name, value in json.loads(variables.get("KEIJI_PARAMS", "{}")).items()},
        due=datetime.fromisoformat(due) if due else None,
        due_from=datetime.fromisoformat(due_from) if due_from else None,
        due_count=int(variables.get("KEIJI_DUE_COUNT", "1")),
    )


def run_variables(run: Run, *, task: str, build: Path, params: Mapping[str, object], zone: tzinfo) -> dict[str, str]:
    """Return the environment variables that describe a run.

    Args:
        task: the name of the task.
        build: the folder with the sources of the build.
        params: the parameters, with the defaults of a command task.
        zone: the time zone of the task.
    """
    variables = {
        "KEIJI_TASK": task,
        "KEIJI_RUN_ID": run.run_id,
        "KEIJI_ATTEMPT": str(run.attempt),
        "KEIJI_TRIGGER": str(run.trigger),
        "KEIJI_BUILD": str(build),
        **parameter_variables(params),
    }
    due = run.scheduled_for or (run.overrides.due if run.overrides is not None else None)
    if due is not None:
        variables["KEIJI_DUE"] = due.astimezone(zone).isoformat()
    if run.covers > 1 and run.covers_from is not None:
        variables["KEIJI_DUE_FROM"] = run.covers_from.astimezone(zone).isoformat()
        variables["KEIJI_DUE_COUNT"] = str(run.covers)
    return variables


def parameter_variables(values: Mapping[str, object]) -> dict[str, str]:
    """Return the variables with the parameters of a run: all as JSON, and each as text."""
    import json

    variables = {"KEIJI_PARAMS": json.dumps(dict(values))}
    return variables | {f"KEIJI_PARAM_{name.upper()}": str(value) for name, value in values.items()}
