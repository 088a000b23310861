"""Policies as data of a task.toml, and on one line: "timeout = 30m, retry.tries = 3, overlap = queue"."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import date, datetime, time
from typing import Any

from keiji.errors import InvalidPolicy
from keiji.formats import quote
from keiji.policy import Policy, Retry

Failure = Callable[[str, str, str], Exception]  # from the dotted key, the problem and a hint
_EXAMPLE = 'for example: timeout = 30m, retry = { tries = 3, delay = 10s }, overlap = "queue"'
# A quoted text, or a value without quotes that TOML would not accept: a duration, a word or a date.
_VALUE = re.compile(r"""("(?:\\.|[^"\\])*"|'[^']*')|(=\s*)([A-Za-z0-9][^\s,{}"'=]*(?: \d\d:\d\d(?::\d\d)?)?)""")
_IS_TOML = re.compile(r"[+-]?\d+(?:\.\d+)?|true|false")


def policy_from(values: Mapping[str, Any], fail: Failure, path: str = "policy") -> Policy:
    """Return the policy with the values of a table.

    Args:
        path: the dotted path of the table, for errors.

    Raises:
        Exception: the result of ``fail`` for the first key that is unknown or has an invalid value.
    """
    values = dict(values)
    _check_keys(path, values, [each.name for each in fields(Policy)], fail)
    if "retry" in values:
        values["retry"] = _retry(values["retry"], fail, f"{path}.retry")
    for key in ("not_before", "until"):
        if isinstance(values.get(key), date) and not isinstance(values[key], datetime):
            values[key] = datetime.combine(values[key], time())
    for key, value in values.items():
        _build(Policy, f"{path}.{key}", {key: value}, fail)
    return Policy(**values)


def parse_policy(text: str) -> dict[str, Any]:
    """Return the values of a policy on one line, as they would be in task.toml; words need no quotes.

    Raises:
        InvalidPolicy: the line cannot be parsed, a key is unknown, or a value is invalid.
    """
    if not text.isprintable():
        raise InvalidPolicy("the policy contains a line break or a control character", hint=_EXAMPLE)
    try:
        document = tomllib.loads(f"policy = {{ {_VALUE.sub(_quoted, text)} }}")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidPolicy(f"{quote(text)} is not a policy", hint=_EXAMPLE) from error
    values: dict[str, Any] = document["policy"]
    policy_from(values, lambda _, problem, hint: InvalidPolicy(problem, hint=hint))
    return values


def policy_of(text: str) -> Policy:
    """Return the policy on one line. Raises InvalidPolicy."""
    return policy_from(parse_policy(text), lambda _, problem, hint: InvalidPolicy(problem, hint=hint))


def _quoted(found: re.Match[str]) -> str:
    text, equals, word = found.groups()
    return text or f"{equals}{word}" if text or _IS_TOML.fullmatch(word) else f'{equals}"{word}"'


def _check_keys(table: str, data: Mapping[str, Any], known: Iterable[str], fail: Failure) -> None:
    known = tuple(known)
    for key in data:
        if key not in known:
            matches = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {matches[0]!r}?" if matches else f"expected one of {', '.join(known)}"
            raise fail(f"{table}.{key}", f"unknown key {key!r} in [{table}]; {hint}", "")


def _retry(value: object, fail: Failure, path: str) -> Retry:
    if not isinstance(value, dict):
        expected = 'retry = { tries = 3, delay = "10s" }'
        raise fail(path, f"retry = {quote(value)}: expected a table, such as {expected}", "")
    _check_keys(path, value, [each.name for each in fields(Retry)], fail)
    for key, single in value.items():
        _build(Retry, f"{path}.{key}", {key: single}, fail)
    return Retry(**value)


def _build(kind: Callable[..., object], key: str, values: dict[str, Any], fail: Failure) -> None:
    try:
        kind(**values)
    except InvalidPolicy as error:
        problem = re.sub(r"^(?:Policy|Retry)\((.*?)\): ", r"\1: ", error.message, count=1, flags=re.DOTALL)
        raise fail(key, problem, error.hint) from error
