"""``task.toml``: the name of a task, and what a command task executes.

Errors name the file, the line and the key. The parser of the standard library reports the line of a syntax error only,
so the lines of the keys are found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from keiji import names
from keiji.errors import InvalidName, InvalidSchedule, InvalidTaskFile
from keiji.formats import quote
from keiji.parameters import Parameter
from keiji.policy import Policy
from keiji.records import TaskKind
from keiji.schedule import Schedule
from keiji.schedule.parse import parse_trigger
from keiji_engine.builds.environment import read_env
from keiji_engine.builds.snapshot import read_regular_file
from keiji_engine.builds.toml_reader import TomlReader

FILE = "task.toml"
MAX_BYTES = 64 * 1024
DEFAULT_SHELL = ("/bin/sh",)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_RESERVED_PREFIX = "KEIJI_"
KEYS = (
    "name", "description", "tags", "command", "shell", "shell_program", "schedule", "cwd", "stdin", "ok_exit_codes",
    "params", "env", "policy",
)  # fmt: skip
_ONLY_OF_COMMANDS = ("shell_program", "params")
_MAX_DESCRIPTION = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFile:
    """The content of a task.toml.

    Args:
        name: "" if it has none; the name of the folder applies then.
        argv: the command with its arguments, or the program of the shell with its arguments; () for a Python task.
        schedule: None if there is none here.
        policy: None if there is none here.
        lines: the line of each key that is set, such as "schedule" and "policy.timeout".
    """

    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    kind: TaskKind = TaskKind.PYTHON
    argv: tuple[str, ...] = ()
    schedule: Schedule | None = None
    policy: Policy | None = None
    cwd: str = ""
    stdin: str = ""
    ok_exit_codes: tuple[int, ...] = (0,)
    env: dict[str, str] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    lines: dict[str, int] = field(default_factory=dict)

    def at(self, key: str) -> str:
        """Return where a key is set: "task.toml, line 4: command"."""
        line = self.lines.get(key)
        return f"{FILE}, line {line}: {key}" if line else f"{FILE}: {key}"


def read_task_file(folder: Path) -> TaskFile | None:
    """Read the task.toml in a folder; return None if there is none. Raises InvalidTaskFile."""
    try:
        content = read_regular_file(folder / FILE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidTaskFile(f"{FILE} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise InvalidTaskFile(f"{FILE} has {len(content):,} bytes; at most {MAX_BYTES:,} are allowed")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidTaskFile(f"{FILE}, line {line}: not valid UTF-8") from error
    return parse_task_file(text)


@dataclass(frozen=True, slots=True)
class TaskDetails:
    """The name and the description of a task, and the file that has them. The name is "" if the file has none."""

    name: str
    description: str
    file: str


def read_details(folder: Path) -> TaskDetails:
    """Return name and description from task.toml or, if there is none, from ``.env``, where earlier versions kept them.

    Raises:
        KeijiError: the file cannot be read, or is invalid.
    """
    task_file = read_task_file(folder)
    if task_file is not None:
        return TaskDetails(task_file.name, task_file.description, FILE)
    values = read_env(folder)
    return TaskDetails(values.get("NAME", ""), names.one_line(values.get("DESCRIPTION", "")), ".env")


def parse_task_file(text: str) -> TaskFile:
    """Parse the text of a task.toml. Raises InvalidTaskFile: file, line, key, and what is allowed there."""
    return _Parser.from_text(text, FILE, InvalidTaskFile).parse()


class _Parser(TomlReader):
    def parse(self) -> TaskFile:
        self.check_keys("", self.data, KEYS)
        kind, argv = self._command()
        return TaskFile(
            name=self._name(),
            description=names.one_line(self.text("description"))[:_MAX_DESCRIPTION],
            tags=tuple(self._texts("tags")),
            kind=kind,
            argv=argv,
            schedule=self._schedule(),
            policy=self.policy("policy"),
            cwd=self._cwd(),
            stdin=self.text("stdin"),
            ok_exit_codes=self._exit_codes(),
            env=self.env("env"),
            parameters=self._parameters(),
            lines=self.lines,
        )

    def _texts(self, key: str) -> list[str]:
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.error(key, f'{key} = {quote(value)}: expected a list of texts, such as {key} = ["a", "b"]')
        if any("\0" in each for each in value):
            raise self.error(key, f"{key} contains a null character")
        return value

    def _name(self) -> str:
        text = self.text("name")
        if "name" not in self.data:
            return ""
        try:
            return names.validate(text)
        except InvalidName as error:
            raise self.error("name", error.message, error.hint) from error

    def _command(self) -> tuple[TaskKind, tuple[str, ...]]:
        if "command" in self.data and "shell" in self.data:
            first, second = sorted(("command", "shell"), key=lambda key: self.lines.get(key, 0))
            raise self.error(second, f"{second} is set, and {first} on line {self.lines.get(first)}; keep one of them")
        if "command" in self.data:
            if isinstance(self.data["command"], str):
                hint = f"for a line that a shell executes, write shell = {quote(self.data['command'])}"
                raise self.error(
                    "command", 'command: expected a list, such as command = ["./backup.sh", "--full"]', hint
                )
            argv = self._texts("command")
            if not argv or not argv[0].strip():
                raise self.error(
                    "command", 'command is empty; expected a list, such as command = ["./backup.sh", "--full"]'
                )
            if "shell_program" in self.data:
                raise self.error("shell_program", "shell_program is used with shell only, not with command")
            return TaskKind.COMMAND, tuple(argv)
        if "shell" in self.data:
            line = self.text("shell")
            if not line.strip():
                raise self.error(
                    "shell", 'shell is empty; expected a line, such as shell = "pg_dump app | gzip > app.gz"'
                )
            return TaskKind.SHELL, (*self._shell_program(), "-c", line)
        for key in _ONLY_OF_COMMANDS:
            if key in self.data:
                needs = "shell" if key == "shell_program" else "command or shell"
                python = "; the parameters of a Python task are those of function()" if key == "params" else ""
                raise self.error(key, f"{key} is set, but {needs} is not{python}")
        return TaskKind.PYTHON, ()

    def _shell_program(self) -> tuple[str, ...]:
        value = self.data.get("shell_program")
        if value is None:
            return DEFAULT_SHELL
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
            expected = '"/bin/bash" or ["/bin/bash", "-e", "-o", "pipefail"]'
            raise self.error("shell_program", f"shell_program = {quote(value)}: expected {expected}")
        return tuple(value)

    def _schedule(self) -> Schedule | None:
        if "schedule" not in self.data:
            return None
        try:
            return parse_trigger(self.data["schedule"])
        except InvalidSchedule as error:
            raise self.error("schedule", f"schedule: {error.message}", error.hint) from error

    def _cwd(self) -> str:
        cwd = self.text("cwd")
        if "cwd" in self.data and not cwd.startswith(("/", "~/")) and cwd not in ("", "~"):
            raise self.error("cwd", f"cwd = {quote(cwd)}: expected an absolute path, or one that starts with ~/")
        return cwd

    def _exit_codes(self) -> tuple[int, ...]:
        value = self.data.get("ok_exit_codes", [0])
        is_valid = isinstance(value, list) and value and all(type(code) is int and 0 <= code <= 255 for code in value)
        if not is_valid:
            expected = "a list of numbers from 0 to 255, such as [0, 24]"
            raise self.error("ok_exit_codes", f"ok_exit_codes = {quote(value)}: expected {expected}")
        return tuple(dict.fromkeys(value))

    def _parameters(self) -> tuple[Parameter, ...]:
        parameters: list[Parameter] = []
        variables: dict[str, str] = {}
        for name, value in self.table("params").items():
            path = f"params.{name}"
            if not _IDENTIFIER.fullmatch(name):
                raise self.error(path, f"{name!r} in [params] is not a valid name: letters, digits and _ are allowed")
            other = variables.setdefault(name.upper(), name)
            if other != name:
                raise self.error(path, f"{name} and {other} in [params] differ only in case")
            parameters.append(Parameter(name=name, default=self.plain_text(path, value)))
        return tuple(parameters)


def format_task_file(
    *,
    name: str,
    description: str,
    tags: Iterable[str] = (),
    command: Iterable[str] = (),
    shell: str = "",
    schedule: str = "",
    cwd: str = "",
    policy: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Return the text of a task.toml; empty values other than ``description`` and ``tags`` are left out.

    A command task without a schedule, which runs only when it is started, gets an example of one as a comment.
    """
    lines = [
        f"name = {_toml_text(name)}",
        f"description = {_toml_text(description)}",
        f"tags = {_toml_list(tags)}",
    ]
    if command := tuple(command):
        lines.append(f"command = {_toml_list(command)}")
    if shell:
        lines.append(f"shell = {_toml_text(shell)}")
    if schedule:
        lines.append(f"schedule = {_toml_text(schedule)}")
    elif command or shell:
        lines.append('# schedule = "0 3 * * *"')
    if cwd:
        lines.append(f"cwd = {_toml_text(cwd)}")
    if policy:
        lines += ["[policy]", *(f"{key} = {_toml_value(value)}" for key, value in policy.items())]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    """Return a value of a policy."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml_value(each)}' for key, each in value.items())} }}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else _toml_text(str(value))


def _toml_list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_toml_text, values))}]"


_ESCAPED = re.compile(r'[\x00-\x1f"\\\x7f]')
_SHORT_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def _toml_text(value: str) -> str:
    """Return a basic string of TOML."""
    escaped = _ESCAPED.sub(lambda match: _SHORT_ESCAPES.get(match[0], f"\\u{ord(match[0]):04x}"), value)
    return f'"{escaped}"'
