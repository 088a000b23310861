"""Durations and moments as text."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from keiji.formats import MAX_VALUE, format_duration, format_moment, quote


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (8.9, "8 s"),
        (60, "1 min"),
        (131, "2 min 11 s"),
        (3600 * 3 + 299, "3 h 4 min"),
        (3605, "1 h"),
        (86400 + 7200 + 59, "1 d 2 h"),
        (366 * 86400, "366 d"),
    ],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds, decimals=0) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.001, "0 s"), (0.25, "0.25 s"), (30, "30 s"), (1.5, "1.5 s"), (59.999, "1 min"), (90.5, "1 min 30 s")],
)
def test_a_short_duration_has_decimals(seconds: float, text: str) -> None:
    assert format_duration(seconds, decimals=2) == text


def test_a_moment_is_shown_in_a_zone() -> None:
    moment = datetime(2026, 11, 24, 7, tzinfo=UTC)
    assert format_moment(moment, ZoneInfo("Africa/Nairobi")) == "2026-11-24 10:00:00 EAT"


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_any_value_can_be_quoted() -> None:
    assert quote("a") == "'a'"
    assert quote("a" * 10_000) == "'" + "a" * (MAX_VALUE - 1) + "…"
    assert quote(10**5000) == "<a value of type int that cannot be shown>"
    assert quote(Unprintable()) == "<a value of type Unprintable that cannot be shown>"
