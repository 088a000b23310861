"""Keys that come faster than screens: each is dealt with before the next one, letters go to the line they are for."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from piloting import log, press, running, said, sees, settle, table, text_of, verbs
from scenes import live, task
from textual import events
from textual.app import App
from textual.keys import _character_to_key
from textual.widgets import Input
from waiting import until

from keiji_engine.bus.protocol import Create, Delete, Disable
from keiji_tui.app import ControlCenter
from keiji_tui.logs.match_protocol import Stream
from keiji_tui.screens.dialogs import ConfirmScreen
from keiji_tui.screens.help import HelpScreen
from keiji_tui.screens.ledger import LedgerScreen
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.screens.why import WhyScreen
from keiji_tui.terminal.input_parser import InputParser

KEYS = {"\n": "enter", "\x1b": "escape", "\t": "tab"}


def key(sign: str) -> events.Key:
    return events.Key(KEYS.get(sign) or (sign if sign.isalnum() else _character_to_key(sign)), sign)


def send(app: App[None], *some: events.Event) -> None:
    """Send events all at once, in the way in which those of a terminal arrive."""
    driver = app._driver
    assert driver is not None
    for event in some:
        driver.send_message(event)


def burst(app: App[None], text: str) -> None:
    """Send keys all at once, as a paste without brackets or a slow line does."""
    send(app, *map(key, text))


def typed(app: ControlCenter) -> str:
    """Return what stands in the line that has the focus."""
    return app.focused.value if isinstance(app.focused, Input) else ""


@pytest.mark.parametrize(
    ("keys", "letters"),
    [
        ("/", "export"),
        (":", "repair"),
        ("N", "xerbed"),
        ("l/", "fwexbr"),
        ("l&", "!exRbr"),
        ("P", "xeRepair"),
        ("D", "exR"),
    ],
)
async def test_what_is_typed_behind_a_key_that_opens_a_line_goes_to_that_line(keys: str, letters: str) -> None:
    app, link = live(task="ping_google")
    async with running(app) as pilot:
        burst(app, keys + letters)
        await until(pilot, lambda: typed(app) == letters, f"{typed(app)!r}")
    assert not link.sent


async def test_each_key_is_about_the_row_that_the_one_before_went_to() -> None:
    app, link = live(task("a"), task("b"), task("c"))
    async with running(app) as pilot:
        burst(app, "jejep")
        await until(pilot, lambda: len(link.sent) == 3)
        assert [directive.target for directive in link.sent] == ["b", "c", "c"]
        assert table(app).selected == "c"


async def test_the_same_key_twice_at_once_is_not_two_directives() -> None:
    app, link = live(task("a"))
    link.hold.clear()
    async with running(app) as pilot:
        burst(app, "ee")
        await until(pilot, sees(app, "disable is in progress"))
        link.hold.set()
        await until(pilot, lambda: verbs(link) == [Disable])


async def test_disabling_what_runs_asks_first_for_it_ends_the_run() -> None:
    app, link = live(task("a", is_running=True))
    async with running(app) as pilot:
        burst(app, "e")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen) and app.screen.focused is not None)
        await settle(pilot)
        assert "This stops its live run" in text_of(app)
        burst(app, "n")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert not link.sent
        burst(app, "ey")
        await until(pilot, lambda: verbs(link) == [Disable])


async def test_keys_of_one_packet_behave_as_if_they_were_typed_one_by_one() -> None:
    app, link = live()
    async with running(app) as pilot:
        burst(app, "/report\nw")
        await until(pilot, lambda: isinstance(app.screen, WhyScreen))
        assert app.store.name_filter == "report"
        burst(app, "\x1b\x1b/xyz\x1bD")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert app.store.name_filter == ""
        burst(app, "backup\n5/x\nq")
        await until(pilot, lambda: verbs(link) == [Delete])
        await until(pilot, lambda: not app.is_running)
        assert app.store.ledger.entries
        assert isinstance(app.base_screen, LedgerScreen) or not app.screen_stack


async def test_tab_goes_on_to_the_next_field_before_the_next_character_is_typed() -> None:
    app, link = live(task("a"))
    async with running(app) as pilot:
        burst(app, "Nnew\twhat for\t\tevery 5 minutes\n")
        await until(pilot, lambda: verbs(link)[:1] == [Create])
        directive = link.sent[0]
        assert isinstance(directive, Create)
        assert (directive.name, directive.description, directive.schedule) == ("new", "what for", "every(5).minutes")


async def test_keys_in_a_log_prompt_wait_until_the_prompt_is_closed() -> None:
    app, _ = live(task="ping_google")
    async with running(app) as pilot:
        await until(pilot, lambda: log(app).visible_lines)
        burst(app, "l/slow\nwO")
        pane = app.tasks_screen.log_pane
        await until(pilot, lambda: pane.reader.line_filter.stream is Stream.OUT and pane.pattern == "slow")
        assert not pane.prompt.is_open


async def test_pasted_text_keeps_its_place_among_keys() -> None:
    app, _ = live()
    async with running(app) as pilot:
        send(app, key("/"), events.Paste("repo"), key("r"), key("\n"), key("j"))
        await until(pilot, lambda: app.store.name_filter == "repor" and app.focused is table(app))


def parsed(text: str) -> list[str]:
    """Return the keys in one packet from a terminal."""
    parser = InputParser()
    messages = [*parser.feed(text), *parser.feed("")]
    return [message.key for message in messages if isinstance(message, events.Key)]


@given(st.characters(max_codepoint=0x4FF, categories=("L", "N", "P", "S", "Zs")).filter(lambda sign: sign not in "[O"))
@example("1")
@example("\r")
@example("\t")
@example("b")
def test_escape_and_another_key_in_one_packet_are_both_keys(sign: str) -> None:
    assert parsed(f"\x1b{sign}") == ["escape", *parsed(sign)]
    assert parsed(f"\x1b{sign}\x1b[A{sign}") == ["escape", *parsed(sign), "up", *parsed(sign)]


def test_only_escape_that_begins_no_sequence_is_a_key() -> None:
    assert parsed("\x1b[A\x1bOP\x1b[1;5C\x1b\x7fq") == ["up", "f1", "ctrl+right", "ctrl+w", "q"]
    assert parsed("\x1b[") == ["escape", "left_square_bracket"]
    assert parsed("\x1bO") == ["escape", "O"]
    assert parsed("\x1b\x1b[B") == ["escape", "down"]


async def test_keys_of_one_packet_from_a_terminal_act_in_order() -> None:
    app, _ = live(task="ping_google")
    async with running(app) as pilot:
        send(app, *InputParser().feed("/ping\x1bH"))
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        assert app.store.name_filter == ""
        send(app, *InputParser().feed("\x1bNname\x1b/re\x1b?"))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert app.base_screen is app.tasks_screen
        assert app.store.name_filter == ""


async def test_a_letter_of_another_alphabet_gives_a_hint_and_other_unbound_keys_do_not() -> None:
    app, _ = live(task("a"))
    async with running(app) as pilot:
        burst(app, "é$й ж")
        await until(pilot, lambda: said(app))
        await settle(pilot)
        assert len(said(app)) == 1
        assert "Latin keyboard layout" in said(app)[0]


async def test_f1_opens_and_closes_the_help() -> None:
    app, _ = live(task("a"))
    async with running(app) as pilot:
        await press(pilot, "f1")
        assert isinstance(app.screen, HelpScreen)
        await press(pilot, "f1")
        assert app.screen is app.tasks_screen
