"""The ledger of a terminal: stages in any order, recorded and own directives, and the last builds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from keiji.errors import BuildFailed, EngineOffline
from keiji_engine.bus.protocol import BuildTask, Directive, DirectiveChanged, Disable
from keiji_engine.bus.views import DirectiveView
from keiji_tui.state.ledger import MAX_ENTRIES, Ledger

NOW = datetime(2026, 11, 24, 10, 31, 57, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def changed(directive: Directive, stage: str, *lines: str) -> DirectiveChanged:
    return DirectiveChanged(
        directive=directive.id, verb=directive.verb, target=directive.target, stage=stage, sender="x", lines=lines
    )


def view(key: str, seconds: float, **changes: object) -> DirectiveView:
    known: dict[str, object] = {"verb": "disable", "target": "ping", "sender": "keiji", "stage": "done"}
    return DirectiveView(id=key, received_at=at(seconds), **{**known, **changes})  # type: ignore[arg-type]


def test_a_directive_of_this_terminal_is_recorded_before_the_response() -> None:
    ledger, directive = Ledger(), BuildTask(task="ping", restart=True)
    ledger.add_sent(directive, NOW)
    entry = ledger.entries[directive.id]
    assert (entry.stage, entry.command) == ("sent", "keiji task build ping --restart")
    ledger.apply_event(changed(directive, "accepted"), at(1))
    assert ledger.entries[directive.id].stage == "accepted"
    ledger.mark_done(directive, ("built",), at(2))
    entry = ledger.entries[directive.id]
    assert (entry.stage, entry.lines, entry.at, entry.completed_at) == ("done", ("built",), NOW, at(2))


@pytest.mark.parametrize("is_answer_first", [True, False])
def test_the_response_and_the_event_may_arrive_in_either_order(is_answer_first: bool) -> None:
    ledger, directive = Ledger(), Disable(task="ping")
    ledger.add_sent(directive, NOW)
    steps = [
        lambda: ledger.mark_done(directive, ("disabled task ping",), at(1)),
        lambda: ledger.apply_event(changed(directive, "done", "disabled task ping"), at(2)),
    ]
    for step in steps if is_answer_first else reversed(steps):
        step()
    ledger.apply_event(changed(directive, "accepted"), at(3))
    entry = ledger.entries[directive.id]
    assert (entry.stage, entry.lines) == ("done", ("disabled task ping",))
    assert entry.completed_at == at(1 if is_answer_first else 2)


def test_a_directive_without_response_is_not_called_refused() -> None:
    ledger, directive = Ledger(), Disable(task="ping")
    ledger.add_sent(directive, NOW)
    ledger.mark_failed(directive, EngineOffline("gone", hint="keiji system start"), at(1))
    assert ledger.entries[directive.id].stage == "unanswered"
    ledger.apply_event(changed(directive, "done"), at(9))
    assert ledger.entries[directive.id].stage == "done"


def test_recorded_and_new_directives_form_one_list_newest_first() -> None:
    ledger, mine, other = Ledger(), Disable(task="a"), Disable(task="b")
    ledger.add_sent(mine, at(10))
    ledger.apply_event(changed(other, "accepted"), at(20))
    ledger.merge([view("old", -60), view("older", -120)])
    assert ledger.newest_first() == [other.id, mine.id, "old", "older"]
    assert ledger.entries["old"].command == "keiji task disable ping"


def test_the_command_contains_the_options_of_the_directive() -> None:
    ledger, other = Ledger(), BuildTask(task="ping", restart=True)
    ledger.apply_event(msgspec.structs.replace(changed(other, "accepted"), options=other.options), NOW)
    assert ledger.entries[other.id].command == "keiji task build ping --restart"
    options = {"reason": "it's late"}
    ledger.merge([view("past", -9, verb="pause-system", target="", options=options), view("x", -8, verb="fly")])
    assert ledger.entries["past"].command == """keiji system pause --reason='it'"'"'s late'"""
    ledger.merge([view("odd", -7, verb="build", options={"restart": "perhaps"})])
    assert (ledger.entries["x"].command, ledger.entries["odd"].command) == ("", "")


def test_an_outdated_response_does_not_undo_a_later_event() -> None:
    ledger, directive = Ledger(), Disable(task="ping")
    ledger.apply_event(changed(directive, "done", "disabled task ping"), at(1))
    ledger.merge([view(directive.id, 0, stage="accepted")])
    assert ledger.entries[directive.id].stage == "done"


def test_complete_output_is_not_replaced_by_truncated_output() -> None:
    ledger, directive = Ledger(), Disable(task="ping")
    ledger.apply_event(changed(directive, "done", "x" * 9000), NOW)
    ledger.merge([view(directive.id, 0, lines=("x… cut here",), completed_at=NOW)])
    assert ledger.entries[directive.id].lines == ("x" * 9000,)


def test_a_directive_that_its_engine_lost_is_shown_as_lost() -> None:
    ledger, directive = Ledger(), Disable(task="ping")
    ledger.apply_event(changed(directive, "accepted"), NOW)
    ledger.merge([view(directive.id, 0, stage="lost", lines=("the engine ended",))])
    assert (ledger.entries[directive.id].stage, ledger.entries[directive.id].lines) == ("lost", ("the engine ended",))


def test_the_ledger_is_limited_and_keeps_the_last_build_of_each_task() -> None:
    ledger, build = Ledger(), BuildTask(task="ping")
    ledger.add_sent(build, NOW)
    ledger.mark_failed(build, BuildFailed("function.py, line 3: invalid syntax"), at(1))
    for number in range(MAX_ENTRIES + 100):
        ledger.apply_event(changed(Disable(task="b"), "done"), at(number + 2))
    assert len(ledger.entries) == MAX_ENTRIES
    assert build.id not in ledger.entries
    last = ledger.last_build(("ping", "Ping it"))
    assert last is not None
    assert last.lines == ("function.py, line 3: invalid syntax",)
    assert ledger.last_build(("other",)) is None


def test_the_last_build_is_the_newest_whichever_name_was_used() -> None:
    ledger = Ledger()
    ledger.merge([view("two", 2, verb="build", target="Ping it"), view("one", 1, verb="build", lines=("old",))])
    last = ledger.last_build(("ping", "Ping it"))
    assert last is not None
    assert last.id == "two"


def test_the_revision_stays_if_nothing_changes() -> None:
    ledger = Ledger()
    ledger.merge([view("a", 0)])
    before = ledger.revision
    ledger.merge([view("a", 0)])
    assert ledger.revision == before
