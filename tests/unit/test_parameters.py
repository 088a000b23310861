"""Parameters: the signature of a function, and the conversion of text by annotation."""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji.parameters import Parameter, convert_arguments, find_problem, parameters_of, signature


class Level(Enum):
    LOW = "l"
    HIGH = 7


def report(  # type: ignore[no-untyped-def] # authors may leave out an annotation
    day: date = date(2026, 11, 1),
    n: int = 1,
    ratio: float | None = None,
    *,
    at: Optional[datetime] = None,  # noqa: UP045 - authors write both
    level: Level = Level.LOW,
    dry_run: bool = False,
    out: Path = Path("x"),
    name="a",
    rows: list[int] = [],  # noqa: B006
) -> None:
    """Has each kind of parameter."""


KNOWN = parameters_of(report)


def test_the_signature_is_that_of_the_function() -> None:
    assert signature("report", KNOWN) == (
        "report(day: date = 2026-11-01, n: int = 1, ratio: float | None = None, at: Optional[datetime] = None, "
        "level: Level = LOW, dry_run: bool = False, out: Path = x, name = 'a', rows: list[int] = [])"
    )


def test_text_is_converted_by_annotation() -> None:
    values = {
        "day": "2026-11-02", "n": "41", "ratio": "0.5", "at": "2026-11-02 10:00", "level": "HIGH", "dry_run": "yes",
        "out": "/tmp/a b", "name": "$(id)\n'",
    }  # fmt: skip
    assert convert_arguments(report, values) == {
        "day": date(2026, 11, 2), "n": 41, "ratio": 0.5, "at": datetime(2026, 11, 2, 10), "level": Level.HIGH,
        "dry_run": True, "out": Path("/tmp/a b"), "name": "$(id)\n'",
    }  # fmt: skip
    assert convert_arguments(report, {"level": "7"}) == {"level": Level.HIGH}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"dya": "1"}, "unknown parameter 'dya'; did you mean 'day'?"),
        ({"n": "x"}, "n=x: expected a whole number"),
        ({"ratio": "x"}, "ratio=x: expected a number"),
        ({"day": "tomorrow"}, "day=tomorrow: expected a date such as 2026-11-01"),
        ({"at": "x"}, 'at=x: expected a time such as "2026-11-01 10:00"'),
        ({"dry_run": "maybe"}, "dry_run=maybe: expected yes or no"),
        ({"level": "MID"}, "level=MID: expected one of LOW, HIGH, l, 7"),
        ({"rows": "[1]"}, "rows=[1]: values of the type list[int] cannot be given as text"),
        ({"name": "a\0b"}, "name=a\0b: a value cannot contain a null character"),
        ({"day": "2026-11-01", "n": "1"}, ""),
    ],
)
def test_values_that_do_not_fit_are_found_before_and_during_the_run(values: dict[str, str], problem: str) -> None:
    stored = [Parameter.from_dict(parameter.to_dict()) for parameter in KNOWN]
    assert find_problem(stored, values) == problem
    if problem:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared
            convert_arguments(report, values)
        assert str(caught.value) == problem


@given(n=st.integers(), ratio=st.floats(allow_nan=False), day=st.dates(), at=st.datetimes(), name=st.text())
def test_the_text_of_a_value_is_converted_back(n: int, ratio: float, day: date, at: datetime, name: str) -> None:
    values = {"n": n, "ratio": ratio, "day": day, "at": at, "name": name.replace("\0", "")}
    assert convert_arguments(report, {key: str(value) for key, value in values.items()}) == values


def test_annotations_that_cannot_be_evaluated_are_read_as_names() -> None:
    def function(n: int = 1, other: Missing = None) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert [parameter.type for parameter in parameters_of(function)] == ["int", "unsupported"]


def test_positional_only_and_variadic_parameters_cannot_be_set() -> None:
    def function(a: int = 1, /, *rest: int, b: int = 2, **more: int) -> None: ...

    assert [parameter.name for parameter in parameters_of(function)] == ["b"]
