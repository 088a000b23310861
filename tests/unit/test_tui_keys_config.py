"""keys.conf: what is read, what is refused, and what is printed to begin with."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from keiji_tui.actions import keys_config
from keiji_tui.actions.catalog import ACTIONS, BY_ID
from keiji_tui.actions.key_conflicts import _meet, load, rebound


def test_what_is_printed_to_begin_with_changes_nothing() -> None:
    found = rebound(keys_config.written())
    assert (found.keys, found.complaints) == ({}, ())
    for action in ACTIONS:
        assert f"\n{action.id} " in keys_config.written()
    assert max(map(len, keys_config.written().splitlines())) <= 120


def test_the_usual_keys_do_not_clash() -> None:
    for one, other in combinations(ACTIONS, 2):
        if _meet(one, other):
            assert not {*one.usual} & {*other.usual}, (one.id, other.id)


def test_keys_are_written_as_people_write_them() -> None:
    found = rebound(
        "toggle = ^t, F5\n# a comment\n\nstop = Esc\nback = backspace\n"
        "run = exclamation_mark, comma, shift+F2, é\nsort=,,#,\n"
    )
    assert not found.complaints
    assert found.keys == {
        "toggle": ("ctrl+t", "f5"),
        "stop": ("escape",),
        "back": ("backspace",),
        "run": ("!", "comma", "shift+f2", "é"),
        "sort": ("#",),
    }


def test_two_may_change_places() -> None:
    assert rebound("toggle = r\nrun = e").keys == {"toggle": ("r",), "run": ("e",)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("togle = e", "there is no action togle; did you mean toggle?"),
        ("toggle", '"action = key" is needed'),
        ("toggle =", "toggle needs a key"),
        ("toggle = pgup", "there is no key pgup; did you mean pageup?"),
        ("toggle = shift+x", "there is no key shift+x"),
        ("toggle = ctrl+h", "ctrl+h cannot be bound: a terminal sends the same for backspace"),
        ("toggle = ^i", "ctrl+i cannot be bound: a terminal sends the same for tab"),
        ("toggle = ctrl+j", "the same for enter"),
        ("toggle = ctrl+m", "the same for enter"),
        ("toggle = ctrl+a", "screen keeps it for itself"),
        ("toggle = ctrl+b", "tmux keeps it for itself"),
        ("toggle = r", "toggle = r, which is run (run); e stays"),
        ("toggle = j", "toggle = j, which is down (down); e stays"),
        ("toggle = q", "which is quit (quit)"),
        ("toggle = \x1b[2J", "there is no key"),
    ],
)
def test_what_cannot_be_is_told_with_its_line_and_the_usual_key_stays(line: str, reason: str) -> None:
    found = rebound(f"why = W\n{line}\n")
    assert found.keys == {"why": ("W",)}
    assert len(found.complaints) == 1
    assert found.complaints[0].startswith("keys.conf, line 2: ")
    assert reason in found.complaints[0]
    assert found.complaints[0].isprintable()


def test_of_two_that_want_a_key_the_first_gets_it() -> None:
    found = rebound("toggle = v\nrun = v\ntoggle = w")
    assert found.keys == {"toggle": ("v",)}
    assert [complaint.partition(":")[0] for complaint in found.complaints] == ["keys.conf, line 3", "keys.conf, line 2"]


def test_who_only_repeats_what_is_usual_is_not_to_blame() -> None:
    found = rebound("run = e\ntoggle = e")
    assert found.complaints == ("keys.conf, line 1: run = e, which is toggle (enable/disable); r stays",)


def test_in_a_log_a_key_may_do_something_else_than_in_the_list() -> None:
    assert rebound("log-wrap = e").keys == {"log-wrap": ("e",)}
    assert rebound("log-wrap = t").complaints


def test_a_file_that_is_not_there_or_cannot_be_read_leaves_the_usual_keys(tmp_path: Path) -> None:
    assert load(tmp_path / "keys.conf").complaints == ()
    (tmp_path / "keys.conf").write_bytes(b"\xff\xfe")
    found = load(tmp_path / "keys.conf")
    assert not found.keys
    assert "it is no UTF-8 text; the usual keys stay" in found.complaints[0]
    (tmp_path / "keys.conf").unlink()
    (tmp_path / "keys.conf").mkdir()
    assert "Is a directory" in load(tmp_path / "keys.conf").complaints[0]
    assert BY_ID["toggle"].keys == ("e",)
