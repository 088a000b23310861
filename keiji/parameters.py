"""The parameters of a task: which ones it has, and their conversion from text.

Those of a Python task are the keyword parameters of its ``function``, converted by annotation; those of a command task
are text. The engine, which does not import the sources of a task, checks values with the `Parameter` records that a
build has found; the run converts them.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Self

MAX_DEFAULT_LENGTH = 60  # characters of a default in a signature
_TRUE, _FALSE = frozenset({"yes", "true", "on", "1"}), frozenset({"no", "false", "off", "0"})


def _to_bool(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("expected yes or no")
    return word in _TRUE


_CONVERTERS: Mapping[str, tuple[type, Callable[[str], Any], str]] = {
    "str": (str, str, "text"),
    "int": (int, int, "a whole number"),
    "float": (float, float, "a number"),
    "bool": (bool, _to_bool, "yes or no"),
    "date": (date, date.fromisoformat, "a date such as 2026-11-01"),
    "datetime": (datetime, datetime.fromisoformat, 'a time such as "2026-11-01 10:00"'),
    "path": (Path, Path, "a path"),
}
_TYPES = {kind: name for name, (kind, _, _) in _CONVERTERS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of a task.

    Args:
        type: "str", "int", "float", "bool", "date", "datetime", "path", "choice", or "unsupported" if keiji cannot
            convert text to the type that the annotation names.
        default: the default as it appears in the signature; None if a value is required.
        choices: the accepted values of a "choice".
        annotation: the annotation as it appears in the signature; "" if there is none.
    """

    name: str
    type: str = "str"
    default: str | None = None
    choices: tuple[str, ...] = ()
    annotation: str = ""

    def check(self, text: str) -> None:
        """Raise ValueError if ``text`` is not a value of this parameter; the message says what is expected."""
        if "\0" in text:
            raise ValueError("a value cannot contain a null character")
        if self.type == "unsupported":
            raise ValueError(f"values of the type {self.annotation} cannot be given as text")
        if self.type == "choice":
            if text not in self.choices:
                raise ValueError(f"expected one of {', '.join(self.choices)}")
            return
        _convert(self.type, text)

    def describe(self) -> str:
        """Return the parameter as it appears in a signature: "day: date = 2026-11-01"."""
        annotation = f": {self.annotation}" if self.annotation else ""
        default = '""' if self.default == "" else self.default
        return f"{self.name}{annotation}" + (f" = {default}" if default is not None else "")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` reverses it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the parameter that `to_dict` stored. Raises KeyError if the data has no name."""
        known = {name: data[name] for name in ("type", "default", "annotation") if name in data}
        return cls(name=data["name"], choices=tuple(data.get("choices", ())), **known)


def signature(name: str, parameters: Iterable[Parameter]) -> str:
    """Return the signature of a task: "report(day: date = 2026-11-01, n: int = 1)"."""
    return f"{name}({', '.join(parameter.describe() for parameter in parameters)})"


def find_problem(parameters: Sequence[Parameter], values: Mapping[str, str]) -> str:
    """Return why ``values`` are not valid for a task with these parameters; "" if they are."""
    known = {parameter.name: parameter for parameter in parameters}
    for name, text in values.items():
        if name not in known:
            import difflib  # only needed after a typing error

            matches = difflib.get_close_matches(name, known, n=1)
            return f"unknown parameter {name!r}" + (f"; did you mean {matches[0]!r}?" if matches else "")
        try:
            known[name].check(text)
        except ValueError as error:
            return f"{name}={text}: {error}"
    missing = [parameter.name for parameter in parameters if parameter.default is None and parameter.name not in values]
    return f"{' and '.join(missing)} must be given" if missing else ""


def parameters_of(function: Callable[..., object]) -> tuple[Parameter, ...]:
    """Return the keyword parameters of a function."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()  # a C function without a signature
    annotations = _annotations(function)
    keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(
        _parameter(each, annotations.get(each.name, each.annotation)) for each in found if each.kind in keyword
    )


def convert_arguments(function: Callable[..., object], values: Mapping[str, str]) -> dict[str, Any]:
    """Return ``values`` as keyword arguments of ``function``, converted by annotation.

    Raises:
        ValueError: there is no such parameter, or a value cannot be converted; the message says why.
    """
    parameters = parameters_of(function)
    if problem := find_problem(parameters, values):
        raise ValueError(problem)
    types_by_name = {parameter.name: parameter.type for parameter in parameters}
    annotations = _annotations(function)
    arguments: dict[str, Any] = {}
    for name, text in values.items():
        if types_by_name[name] == "choice":
            arguments[name] = _member(_plain_type(annotations[name]), text)
        else:
            arguments[name] = _convert(types_by_name[name], text)
    return arguments


def _convert(type_name: str, text: str) -> Any:
    _, converter, expected = _CONVERTERS[type_name]
    try:
        return converter(text)
    except ValueError:
        raise ValueError(f"expected {expected}") from None


def _annotations(function: Callable[..., object]) -> dict[str, Any]:
    """Return the annotations of a function, with those that are text evaluated if possible."""
    function = inspect.unwrap(function)
    try:
        return typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - an annotation is evaluated as code, and may name what exists for type checkers only
        return {name: value for name, value in getattr(function, "__annotations__", {}).items() if name != "return"}


def _parameter(found: inspect.Parameter, annotation: Any) -> Parameter:
    has_annotation = annotation is not inspect.Parameter.empty
    plain: Any = _plain_type(annotation) if has_annotation else str
    if isinstance(plain, str):  # an annotation that could not be evaluated
        type_name = plain.lower() if plain in {kind.__name__ for kind in _TYPES} else "unsupported"
    elif isinstance(plain, type) and issubclass(plain, Enum):
        type_name = "choice"
    else:
        type_name = _TYPES.get(plain, "unsupported")
    return Parameter(
        name=found.name,
        type=type_name,
        default=None if found.default is found.empty else _shown(found.default),
        choices=tuple(_choices(plain)) if type_name == "choice" else (),
        annotation=_name_of(annotation) if has_annotation else "",
    )


def _plain_type(annotation: Any) -> Any:
    """Return X for ``X | None``, and any other annotation as it is."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        others = [each for each in typing.get_args(annotation) if each is not types.NoneType]
        return others[0] if len(others) == 1 else annotation
    return annotation


def _name_of(annotation: Any) -> str:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("datetime.", "").replace("pathlib.", "")


def _choices(enum: type[Enum]) -> dict[str, Enum]:
    """Return the accepted texts: the names of the members, and their values where those are no names."""
    choices = dict(enum.__members__)
    for member in enum:
        choices.setdefault(str(member.value), member)
    return choices


def _member(enum: type[Enum], text: str) -> Enum:
    return _choices(enum)[text]


def _shown(default: object) -> str:
    if isinstance(default, Enum):
        return default.name
    if isinstance(default, date | Path):  # including datetime
        return str(default)
    try:
        text = repr(default)
    except Exception:  # noqa: BLE001 - a class of the author
        text = f"<{type(default).__name__}>"
    return text if len(text) <= MAX_DEFAULT_LENGTH else f"{text[: MAX_DEFAULT_LENGTH - 1]}…"
