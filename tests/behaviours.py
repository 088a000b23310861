"""What tasks do in tests, as a Python function and as a shell line: whatever keiji promises holds for both kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installation import EVERY_HOUR, Installation

from keiji import Policy, Retry
from keiji_engine.bus import protocol as p

KINDS = ("python", "command")


@dataclass(frozen=True)
class Behaviour:
    """The same behaviour of both kinds of task."""

    function: str
    shell: str


DO_NOTHING = Behaviour("def function():\n    pass\n", "true")
FAILS = Behaviour("def function():\n    raise SystemExit('boom')\n", "echo boom >&2; exit 1")
SLEEPS = Behaviour(
    "import time\ndef function():\n    print('started', flush=True)\n    time.sleep(60)\n",
    "echo started; exec sleep 60",
)
RUNS_UNTIL_RELEASED = Behaviour(
    "import os, time\ndef function():\n    while not os.path.exists('released'):\n        time.sleep(0.01)\n",
    "while ! [ -e released ]; do sleep 0.02; done",
)


def records_its_id(*, until_released: bool = False, code: int = 0) -> Behaviour:
    """Return the behaviour to append the id of the run to a file, which reveals a run that was started twice."""
    waiting = (
        "    while not os.path.exists('released'):\n        time.sleep(0.01)\n",
        "while ! [ -e released ]; do sleep 0.02; done; ",
    )
    python_wait, shell_wait = waiting if until_released else ("", "")
    return Behaviour(
        "import os, time\ndef function():\n    with open('ran', 'a') as ran:\n"
        "        ran.write(os.environ['KEIJI_RUN_ID'] + '\\n')\n    print('started', flush=True)\n"
        f"{python_wait}    print('ended')\n    raise SystemExit({code})\n",
        f'echo "$KEIJI_RUN_ID" >> ran; echo started; {shell_wait}echo ended; exit {code}',
    )


def build(
    installation: Installation,
    kind: str,
    slug: str,
    behaviour: Behaviour,
    *,
    schedule: str = EVERY_HOUR,
    policy: Policy | None = None,
) -> None:
    """Write the sources of a task of this kind and build it."""
    folder = installation.paths.source(slug)
    folder.mkdir(exist_ok=True)
    if kind == "python":
        values = f"policy = Policy.from_dict({(policy or Policy()).to_dict()!r})"
        (folder / "function.py").write_text(behaviour.function)
        (folder / "schedule.py").write_text(f"from keiji import *\n{values}\ndef schedule():\n    return {schedule}\n")
    else:
        write_command(folder, shell=behaviour.shell, schedule=schedule, policy=policy)
    installation.ask(p.BuildTask(task=slug))


def write_command(folder: Path, *, schedule: str = EVERY_HOUR, policy: Policy | None = None, **keys: object) -> None:
    """Write the task.toml of a command task; ``keys`` are further keys of it. Mappings become tables."""
    folder.mkdir(exist_ok=True)
    tables = {name: value for name, value in keys.items() if isinstance(value, Mapping)}
    plain = {name: value for name, value in keys.items() if name not in tables} | {"schedule": schedule}
    lines = [f"{name} = {_toml(value)}" for name, value in plain.items()]
    for name, table in {**tables, "policy": (policy or Policy()).to_dict()}.items():
        lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    (folder / "task.toml").write_text("\n".join(lines) + "\n")


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


__all__ = [
    "DO_NOTHING", "FAILS", "KINDS", "RUNS_UNTIL_RELEASED", "SLEEPS", "Behaviour", "Policy", "Retry", "build",
    "records_its_id", "write_command",
]  # fmt: skip
