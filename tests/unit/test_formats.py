"""Durations and moments as text."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji.formats import MAX_VALUE, format_duration, format_measurement, format_moment, parse_duration, quote


@given(st.integers(0, 365 * 86400))
def test_a_duration_that_is_shown_exactly_is_parsed_again(seconds: int) -> None:
    text = format_duration(seconds)
    parsed = parse_duration(text)
    assert format_duration(parsed) == text
    assert parsed == seconds or seconds >= 3600, "above an hour, seconds are not shown"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("1h30m", 5400), ("1h 30m", 5400), ("1.5h", 5400), (" 90 ", 90), ("0.5", 0.5), ("2w", 1209600)],
)
def test_a_duration_is_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "m", "30x", "-5", "30m1h", "1h-5m", "١h", "inf", "1e3"])
def test_text_that_is_not_a_duration_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-5, "0s"),
        (8.9, "8s"),
        (60, "1m"),
        (131, "2m 11s"),
        (3600 * 3 + 299, "3h 04m"),
        (3605, "1h"),
        (86400 + 7200 + 59, "1d 02h"),
        (99 * 86400 + 82800, "99d 23h"),
        (366 * 86400 + 7200, "366d"),
    ],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds, decimals=0) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.001, "0s"), (0.25, "0.25s"), (30, "30s"), (1.5, "1.5s"), (59.999, "1m"), (90.5, "1m 30s")],
)
def test_a_short_duration_has_decimals(seconds: float, text: str) -> None:
    assert format_duration(seconds, decimals=2) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.026, "0.03s"), (0.21, "0.21s"), (0.999, "1s"), (3.44, "3.4s"), (9.96, "10s"), (59.4, "59s"),
     (61, "1m 01s"), (599.6, "10m"), (2880, "48m"), (3900, "1h 05m"), (500_000, "5d 18h"), (99.99 * 86400, "99d 23h")],
)  # fmt: skip
def test_a_measurement_has_two_significant_digits_and_fits_into_a_narrow_column(seconds: float, text: str) -> None:
    assert format_measurement(seconds) == text
    assert len(text) <= 7


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
