"""Reads the configuration files in TOML. Errors name the file, the line, the key, and what is allowed there.

The parser of the standard library reports the line of a syntax error only, so the lines of the keys are found here.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, time
from typing import Any, Self

from keiji.errors import KeijiError
from keiji.formats import quote
from keiji.policy import Policy
from keiji.policy_text import policy_from

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_RESERVED_PREFIX = "KEIJI_"


def syntax_error(message: str, file: str) -> str:
    """Return the message of the TOML parser with the file and the line in front."""
    located = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", message, re.DOTALL)
    if located is None:
        return f"{file}: {message}"
    where = f"line {located[2]}" if located[2] else "at the end"
    return f"{file}, {where}: {located[1][:1].lower()}{located[1][1:]}"


def key_lines(text: str) -> dict[str, int]:
    """Return the line, from 1, on which each key and each table of a valid TOML document is set, by dotted path."""
    found: dict[str, int] = {}
    table: tuple[str, ...] = ()
    statement, start = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        if not statement:
            start = number
        statement += line + "\n"
        try:
            content = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # a value that spans several lines
        path = _path_of(content)
        if statement.lstrip().startswith("["):
            table = path
            path = ()
        for length in range(1, len(table + path) + 1):
            found.setdefault(".".join((table + path)[:length]), start)
        statement = ""
    return found


def _path_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of a document with one statement, from the outermost."""
    path: tuple[str, ...] = ()
    level: Any = content
    while isinstance(level, dict) and len(level) == 1:
        [(key, level)] = level.items()
        path += (key,)
    return path


class TomlReader:
    """A TOML document, and the values that several kinds of files have in common.

    Args:
        lines: the line of each key; see `key_lines`.
        file: the name of the file, for errors.
        kind: the class of the errors.
    """

    def __init__(self, data: dict[str, Any], lines: dict[str, int], file: str, kind: type[KeijiError]) -> None:
        self.data = data
        self.lines = lines
        self.file = file
        self.kind = kind

    @classmethod
    def from_text(cls, text: str, file: str, kind: type[KeijiError]) -> Self:
        """Return the reader of a document. Raises ``kind`` if its syntax is wrong."""
        try:
            data = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise kind(syntax_error(str(error), file)) from error
        return cls(data, key_lines(text), file, kind)

    def error(self, key: str, problem: str, hint: str = "") -> KeijiError:
        """Return the error for a key, with its line."""
        while key not in self.lines and "." in key:
            key = key.rpartition(".")[0]
        line = self.lines.get(key)
        return self.kind(f"{self.file}, line {line}: {problem}" if line else f"{self.file}: {problem}", hint=hint)

    def check_keys(self, table: str, data: Mapping[str, Any], known: Iterable[str]) -> None:
        """Raise an error for a key that is not among ``known``."""
        known = tuple(known)
        for key in data:
            if key not in known:
                path = f"{table}.{key}" if table else key
                matches = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {matches[0]!r}?" if matches else f"expected one of {', '.join(known)}"
                where = f" in [{table}]" if table else ""
                raise self.error(path, f"unknown key {key!r}{where}; {hint}")

    def text(self, key: str) -> str:
        """Return the text at a key of the top level; "" if there is none."""
        value: object = self.data.get(key, "")
        if not isinstance(value, str):
            raise self.error(key, f'{key} = {quote(value)}: expected text in quotes, such as {key} = "…"')
        if "\0" in value:
            raise self.error(key, f"{key} contains a null character")
        return value

    def table(self, path: str) -> dict[str, Any]:
        """Return the table at a dotted path; {} if there is none."""
        found = self.data
        for key in path.split("."):
            value = found.get(key, {})
            if not isinstance(value, dict):
                raise self.error(path, f"{key} = {quote(value)}: expected a table, [{path}]")
            found = value
        return found

    def policy(self, path: str) -> Policy | None:
        """Return the policy at a dotted path; None if there is none."""
        if not self.has(path):
            return None
        return policy_from(self.table(path), self.error, path)

    def has(self, path: str) -> bool:
        """Return whether there is a value at a dotted path."""
        parent, _, key = path.rpartition(".")
        return key in (self.table(parent) if parent else self.data)

    def env(self, table: str) -> dict[str, str]:
        """Return the environment variables in a table."""
        env: dict[str, str] = {}
        for key, value in self.table(table).items():
            path = f"{table}.{key}"
            if not _IDENTIFIER.fullmatch(key):
                raise self.error(path, f"{key!r} in [{table}] is not a valid name: letters, digits and _ are allowed")
            if key.startswith(_RESERVED_PREFIX):
                raise self.error(path, f"{key} in [{table}]: names that start with {_RESERVED_PREFIX} are set by keiji")
            env[key] = self.plain_text(path, value)
        return env

    def plain_text(self, path: str, value: object) -> str:
        """Return a plain value as text."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float | date | time):
            text = str(value)
            if "\0" in text:
                raise self.error(path, f"{path.rpartition('.')[2]} contains a null character")
            return text
        raise self.error(path, f"{path.rpartition('.')[2]} = {quote(value)}: expected text or a number")
