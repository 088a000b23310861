"""Parses a schedule from text without executing it: ``every(10).seconds``, ``on.friday.at("22:00")``.

Text from a form or a command line is untrusted data. It is parsed as a Python expression in which only the functions of
`dsl` with literal arguments are allowed; anything else is rejected before anything is called. English text and crontab
lines are handled by `natural`. Several schedules are a list in Python, or texts separated by semicolons.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keiji.errors import InvalidSchedule
from keiji.formats import quote
from keiji.schedule.base import Schedule
from keiji.schedule.dsl import On, OnDays, at_start, cron, every, manual, on, on_change, once
from keiji.schedule.interval import UNITS
from keiji.schedule.natural import correct, parse_natural
from keiji.schedule.several import combine

MAX_LENGTH = 500
EXAMPLES = ("every(10).seconds", 'on.friday.at("22:00")', 'cron("*/5 9-17 * * mon-fri")', 'once("2027-01-01 00:00")')
_TRIGGER_HINT = (
    'write for example "every 10 minutes", "0 3 * * *", "manual", or a list: ["at start", "every day at 22:00"]'
)
_FIELDS = frozenset({"interval", "selected"})
_HINT = f"for example: {', '.join(EXAMPLES[:2])}"
_FUNCTIONS: dict[str, Callable[..., Any]] = {"every": every, "cron": cron, "once": once, "on_change": on_change}
_VALUES: dict[str, object] = {"on": on, "manual": manual, "at_start": at_start}
_COMMON_TERMS = {
    "fortnightly": "every 2 weeks",
    "biweekly": "every 2 weeks",
    "nightly": "every day at 02:00",
    "quarterly": "0 0 1 */3 *",
    "reboot": "at start",
    "boot": "at start",
    "startup": "at start",
    "never": "manual",
}
_PART = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^;])+""")  # up to a semicolon outside quotes


@dataclass(frozen=True, slots=True)
class _At:
    """The method ``on.friday.at`` before it is called."""

    days: OnDays


def parse_trigger(value: object) -> Schedule:
    """Return the schedule or event that a value of a configuration file names.

    Args:
        value: one text as `parse_schedule` reads it, or a list of them.

    Raises:
        InvalidSchedule: ``value`` is neither; the message says which element of a list is wrong.
    """
    if isinstance(value, str):
        return parse_schedule(value)
    if not isinstance(value, list | tuple):
        raise InvalidSchedule(f"expected text or a list of texts, not {quote(value)}", hint=_TRIGGER_HINT)
    schedules = []
    for number, each in enumerate(value, 1):
        if not isinstance(each, str):
            raise InvalidSchedule(
                f"schedule {number} of {len(value)}: expected text, not {quote(each)}", hint=_TRIGGER_HINT
            )
        try:
            schedules.append(parse_schedule(each))
        except InvalidSchedule as error:
            message = f"schedule {number} of {len(value)}: {error.message}" if len(value) > 1 else error.message
            raise InvalidSchedule(message, hint=error.hint) from error
    return combine(schedules)


def parse_schedule(text: str) -> Schedule:
    """Return the schedule in ``text``: an expression as in schedule.py, plain English, or a crontab line.

    Several of them are separated by semicolons, or are a list in Python.

    Raises:
        InvalidSchedule: ``text`` is not a valid schedule; the message is the same as for a schedule.py.
    """
    text = text.strip()
    if not text:
        raise InvalidSchedule("the schedule is empty", hint=_HINT)
    if len(text) > MAX_LENGTH:
        raise InvalidSchedule(f"the schedule has {len(text)} characters; at most {MAX_LENGTH} are allowed")
    parts = [part for part in map(str.strip, _PART.findall(text)) if part]
    if len(parts) > 1:
        return combine(map(parse_schedule, parts))
    natural = parse_natural(text)
    return natural if natural is not None else _parse_expression(text)


def _parse_expression(text: str) -> Schedule:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # syntax warnings would be printed over the terminal interface
            tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InvalidSchedule(f"{_shorten(text)!r} is not a valid schedule: {reason}", hint=_HINT) from error
    if isinstance(tree.body, ast.List | ast.Tuple):
        return combine(map(_element, tree.body.elts))
    return _complete(tree.body)


def _element(node: ast.expr) -> Schedule:
    """Return the schedule that an element of a list is; it may also be text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return parse_schedule(node.value)
    return _complete(node)


def _complete(node: ast.expr) -> Schedule:
    value = _evaluate(node)
    if isinstance(value, Schedule):
        return value
    raise InvalidSchedule(_explain_incomplete(value, _source(node)), hint=_HINT)


def _explain_incomplete(value: object, source: str) -> str:
    if isinstance(value, every):
        return f"{source}: missing unit; expected one of {', '.join(f'.{unit}' for unit in UNITS)}"
    if isinstance(value, OnDays | _At):
        return f'{source}: missing time; write {source.removesuffix(".at")}.at("22:00")'
    if isinstance(value, On):
        return f'{source}: missing day; write on.friday.at("22:00")'
    return f"{source} is not a schedule"


def _evaluate(node: ast.expr) -> object:
    if isinstance(node, ast.Name):
        return _name(node.id)
    if isinstance(node, ast.Attribute):
        return _attribute(_evaluate(node.value), node)
    if isinstance(node, ast.Call):
        return _call(node)
    raise InvalidSchedule(f"{_source(node)} is not a schedule", hint=_HINT)


def _name(name: str) -> object:
    if name in _VALUES:
        return _VALUES[name]
    if name in _FUNCTIONS:
        raise InvalidSchedule(f"{name}: missing argument in parentheses", hint=_HINT)
    import difflib  # only needed for an invalid schedule

    matches = difflib.get_close_matches(name, (*_FUNCTIONS, "manual", "at_start"), n=1)
    suggestion = _COMMON_TERMS.get(name.lower()) or correct(name) or (matches[0] if matches else "")
    names = ", ".join((*_VALUES, *_FUNCTIONS))
    advice = f"did you mean {suggestion!r}?" if suggestion else f"expected one of {names}"
    raise InvalidSchedule(f"unknown schedule {_shorten(name)!r}; {advice}", hint=_HINT)


def _attribute(owner: object, node: ast.Attribute) -> object:
    name = node.attr
    try:
        if isinstance(owner, every | On) and name not in _FIELDS and not name.startswith("_"):
            return getattr(owner, name)  # raises AttributeError for an unknown unit or day
        if isinstance(owner, OnDays) and name == "at":
            return _At(owner)
        if isinstance(owner, OnDays) and name == "and_":
            return owner.and_
    except AttributeError as error:
        raise InvalidSchedule(str(error), hint=_HINT) from error
    raise InvalidSchedule(f"{_source(node)}: unknown attribute .{name}", hint=_HINT)


def _call(node: ast.Call) -> object:
    if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
        raise InvalidSchedule(f"{_source(node)}: only positional literal arguments are allowed", hint=_HINT)
    if isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        values = [_literal(argument) for argument in node.args]
        if len(values) != 1:
            raise InvalidSchedule(f"{node.func.id}(…): expected 1 argument, got {len(values)}", hint=_HINT)
        return _FUNCTIONS[node.func.id](*values)
    function = _evaluate(node.func)
    if isinstance(function, _At):
        times: list[Any] = [_literal(argument) for argument in node.args]
        return function.days.at(*times)
    raise InvalidSchedule(f"{_source(node)} cannot be called", hint=_HINT)


def _literal(node: ast.expr) -> int | str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isprintable():
        raise InvalidSchedule(f"{_source(node)}: contains a non-printable character")
    if isinstance(node, ast.Constant) and isinstance(node.value, int | str):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        raise InvalidSchedule(f"{_source(node)}: expected a whole number of at least 1")
    raise InvalidSchedule(f"{_source(node)}: expected a number or text in quotes", hint=_HINT)


def _source(node: ast.AST) -> str:
    try:
        return _shorten(ast.unparse(node))
    except RecursionError:
        return "the expression"


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
