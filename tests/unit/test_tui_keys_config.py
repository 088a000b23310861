"""keys.conf: what is read, what is refused, and what is printed to begin with."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from keiji_tui.actions import keys_config
from keiji_tui.actions.catalog import ACTIONS, BY_ID
from keiji_tui.actions.keys_config import _overlap, load, parse


def test_the_printed_file_changes_nothing() -> None:
    found = parse(keys_config.to_text())
    assert (found.keys, found.errors) == ({}, ())
    for action in ACTIONS:
        assert (f"\n{action.id} " in keys_config.to_text()) is not action.is_fixed
    assert max(map(len, keys_config.to_text().splitlines())) <= 120


def test_the_default_keys_do_not_conflict() -> None:
    for one, other in combinations(ACTIONS, 2):
        if _overlap(one, other):
            assert not {*one.default_keys} & {*other.default_keys}, (one.id, other.id)


def test_keys_are_written_as_people_write_them() -> None:
    found = parse(
        "toggle = ^t, F5\n# a comment\n\nstop = Esc\nback = backspace\n"
        "run = exclamation_mark, comma, shift+F2, é\nsort=,,#,\n"
    )
    assert not found.errors
    assert found.keys == {
        "toggle": ("ctrl+t", "f5"),
        "stop": ("escape",),
        "back": ("backspace",),
        "run": ("!", "comma", "shift+f2", "é"),
        "sort": ("#",),
    }


def test_two_may_change_places() -> None:
    assert parse("toggle = r\nrun = e").keys == {"toggle": ("r",), "run": ("e",)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("togle = e", "unknown action togle; did you mean toggle?"),
        ("toggle", 'expected "action = key"'),
        ("toggle =", "toggle: missing key"),
        ("toggle = pgup", "unknown key pgup; did you mean pageup?"),
        ("toggle = shift+x", "unknown key shift+x"),
        ("toggle = ctrl+h", "ctrl+h cannot be bound: terminals cannot distinguish it from backspace"),
        ("toggle = ^i", "ctrl+i cannot be bound: terminals cannot distinguish it from tab"),
        ("toggle = ctrl+j", "distinguish it from enter"),
        ("toggle = ctrl+m", "distinguish it from enter"),
        ("toggle = ctrl+a", "reserved by screen"),
        ("toggle = ctrl+b", "reserved by tmux"),
        ("toggle = ctrl+z", "reserved by the terminal"),
        ("toggle = r", "toggle: r is already used by run (run); keeping e"),
        ("toggle = j", "toggle: j is already used by down (row down); keeping e"),
        ("toggle = q", "already used by quit (quit)"),
        ("toggle = \x1b[2J", "unknown key"),
    ],
)
def test_what_cannot_be_is_told_with_its_line_and_the_usual_key_stays(line: str, reason: str) -> None:
    found = parse(f"why = W\n{line}\n")
    assert found.keys == {"why": ("W",)}
    assert len(found.errors) == 1
    assert found.errors[0].startswith("keys.conf, line 2: ")
    assert reason in found.errors[0]
    assert found.errors[0].isprintable()


def test_of_two_that_want_a_key_the_first_gets_it() -> None:
    found = parse("toggle = v\nrun = v\ntoggle = w")
    assert found.keys == {"toggle": ("v",)}
    assert [complaint.partition(":")[0] for complaint in found.errors] == ["keys.conf, line 3", "keys.conf, line 2"]


def test_who_only_repeats_what_is_usual_is_not_to_blame() -> None:
    found = parse("run = e\ntoggle = e")
    assert found.errors == ("keys.conf, line 1: run: e is already used by toggle (enable/disable); keeping r",)


def test_in_a_log_a_key_may_do_something_else_than_in_the_list() -> None:
    assert parse("log-wrap = e").keys == {"log-wrap": ("e",)}
    assert parse("log-wrap = t").errors


def test_a_file_that_is_not_there_or_cannot_be_read_leaves_the_usual_keys(tmp_path: Path) -> None:
    assert load(tmp_path / "keys.conf").errors == ()
    (tmp_path / "keys.conf").write_bytes(b"\xff\xfe")
    found = load(tmp_path / "keys.conf")
    assert not found.keys
    assert "not valid UTF-8; using the default keys" in found.errors[0]
    (tmp_path / "keys.conf").unlink()
    (tmp_path / "keys.conf").mkdir()
    assert "Is a directory" in load(tmp_path / "keys.conf").errors[0]
    assert BY_ID["toggle"].keys == ("e",)
