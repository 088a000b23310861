"""A schedule as text, read without running any of it: ``every(10).seconds``, ``on.friday.at("22:00")``.

What somebody types into a form or on a command line is data. It is read as Python is written, and only the words of
`authors` with literal arguments mean anything; whatever else stands there is refused before anything is called. What is
no Python may be what keiji says or a crontab has: `spoken`.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keiji.errors import InvalidSchedule
from keiji.schedule.base import Schedule
from keiji.schedule.dsl import On, OnDays, cron, every, on, once
from keiji.schedule.interval import UNITS
from keiji.schedule.natural import read_spoken

LONGEST = 500
EXAMPLES = ("every(10).seconds", 'on.friday.at("22:00")', 'cron("*/5 9-17 * * mon-fri")', 'once("2027-01-01 00:00")')
_FIELDS = frozenset({"interval", "chosen"})
_HINT = f"such as: {', '.join(EXAMPLES[:2])}"
_FUNCTIONS: dict[str, Callable[..., Any]] = {"every": every, "cron": cron, "once": once}


@dataclass(frozen=True, slots=True)
class _At:
    """``on.friday.at``, still to be called."""

    days: OnDays


def read_schedule(text: str) -> Schedule:
    """Return the schedule that ``text`` says: as in ``return`` of a schedule.py, in words, or as a crontab has it.

    Raises:
        InvalidSchedule: it says none; the message is what the same text would be told in a schedule.py.
    """
    text = text.strip()
    if not text:
        raise InvalidSchedule("a schedule is needed", hint=_HINT)
    if len(text) > LONGEST:
        raise InvalidSchedule(f"this schedule has {len(text)} characters; {LONGEST} is the most")
    spoken = read_spoken(text)
    if spoken is not None:
        return spoken
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler, who would print them over whatever is on the screen
            tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InvalidSchedule(f"{_cut(text)!r} cannot be read: {reason}", hint=_HINT) from error
    found = _value(tree.body)
    if isinstance(found, Schedule):
        return found
    raise InvalidSchedule(_unfinished(found, _source(tree)), hint=_HINT)


def _unfinished(found: object, text: str) -> str:
    if isinstance(found, every):
        return f"{text}: a unit is missing: {', '.join(f'.{unit}' for unit in UNITS)}"
    if isinstance(found, OnDays | _At):
        return f'{text}: a time is missing: {text.removesuffix(".at")}.at("22:00")'
    if isinstance(found, On):
        return f'{text}: a day is missing: on.friday.at("22:00")'
    return f"{text} is no schedule"


def _value(node: ast.expr) -> object:
    if isinstance(node, ast.Name):
        if node.id == "on":
            return on
        if node.id in _FUNCTIONS:
            raise InvalidSchedule(f"{node.id}: brackets are missing", hint=_HINT)
        raise InvalidSchedule(f"{node.id} is not known here: every, on, cron and once are", hint=_HINT)
    if isinstance(node, ast.Attribute):
        return _attribute(_value(node.value), node)
    if isinstance(node, ast.Call):
        return _call(node)
    raise InvalidSchedule(f"{_source(node)} is no schedule", hint=_HINT)


def _attribute(owner: object, node: ast.Attribute) -> object:
    name = node.attr
    try:
        if isinstance(owner, every | On) and name not in _FIELDS and not name.startswith("_"):
            return getattr(owner, name)  # which refuses what is no unit or no day
        if isinstance(owner, OnDays) and name == "at":
            return _At(owner)
        if isinstance(owner, OnDays) and name == "and_":
            return owner.and_
    except AttributeError as error:
        raise InvalidSchedule(str(error), hint=_HINT) from error
    raise InvalidSchedule(f"{_source(node)}: there is no .{name} here", hint=_HINT)


def _call(node: ast.Call) -> object:
    if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
        raise InvalidSchedule(f"{_source(node)}: plain values are needed", hint=_HINT)
    if isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        values = [_literal(argument) for argument in node.args]
        if len(values) != 1:
            raise InvalidSchedule(f"{node.func.id}(…) takes one value, and here are {len(values)}", hint=_HINT)
        return _FUNCTIONS[node.func.id](*values)
    called = _value(node.func)
    if isinstance(called, _At):
        clocks: list[Any] = [_literal(argument) for argument in node.args]
        return called.days.at(*clocks)
    raise InvalidSchedule(f"{_source(node)} cannot be called", hint=_HINT)


def _literal(node: ast.expr) -> int | str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isprintable():
        raise InvalidSchedule(f"{_source(node)}: there is something in it that no line can show")
    if isinstance(node, ast.Constant) and isinstance(node.value, int | str):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        raise InvalidSchedule(f"{_source(node)}: a whole number of 1 or more is needed")
    raise InvalidSchedule(f"{_source(node)}: a number or text is needed", hint=_HINT)


def _source(node: ast.AST) -> str:
    try:
        return _cut(ast.unparse(node))
    except RecursionError:
        return "this"


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
