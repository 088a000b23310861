"""Short forms of times, durations and outcomes; the declarations of keys and directives."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len
from scenes import PAUSE, before, recent, services, task

from keiji.reasons import Code, Reason, reason, text_reason
from keiji.states import RunState
from keiji_engine.bus.protocol import (
    Apply,
    BackfillTask,
    BuildTask,
    Create,
    Delete,
    Directive,
    Disable,
    Done,
    PauseSystem,
    PauseTask,
    PinBuild,
    RenameTask,
    RerunTask,
    RestartService,
    ResumeBackfill,
    ResumeSystem,
    ResumeTask,
    RollBack,
    RunTask,
    StopBackfill,
    StopService,
    UnpinBuild,
)
from keiji_engine.bus.views import LinkState
from keiji_tui.actions import requests
from keiji_tui.actions.action import ActionContext, Risk, Scope
from keiji_tui.actions.catalog import ACTIONS, BY_ID, actions_in, footer_actions
from keiji_tui.state.task_state import TaskState, state_of
from keiji_tui.text import commands, format

ZONE = ZoneInfo("Africa/Nairobi")
NOW = datetime(2026, 11, 24, 10, 31, 57, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (timedelta(seconds=-1), "now"),
        (timedelta(milliseconds=300), "in 1s"),
        (timedelta(seconds=4), "in 4s"),
        (timedelta(seconds=72), "in 1m 12s"),
        (timedelta(minutes=12, seconds=20), "in 12m"),
        (timedelta(hours=8.5), "today 22:01"),
        (timedelta(days=3, hours=8.5), "Fri 22:01"),
        (timedelta(days=30), "24 Dec 13:31"),
        (timedelta(days=400), "2027-12-29"),
    ],
)
def test_a_future_time_is_shown_relative_or_by_the_calendar(ahead: timedelta, said: str) -> None:
    assert format.format_until(NOW + ahead, NOW, ZONE) == said


@pytest.mark.parametrize(
    ("since", "said"),
    [
        (timedelta(seconds=6), "6s ago"),
        (timedelta(seconds=-3), "0s ago"),
        (timedelta(minutes=5), "5m ago"),
        (timedelta(hours=3), "3h ago"),
        (timedelta(hours=11, minutes=40), "11h ago"),
        (timedelta(hours=20), "yesterday"),
        (timedelta(days=4), "4d ago"),
        (timedelta(days=100), "16 Aug"),
    ],
)
def test_the_age_of_a_time(since: timedelta, said: str) -> None:
    assert format.format_ago(NOW - since, NOW, ZONE) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(8.9, "8s"), (-1, "0s"), (131, "2m 11s"), (120, "2m"), (3900, "1h 05m")],
)  # fmt: skip
def test_elapsed_time_is_in_whole_seconds(seconds: float, said: str) -> None:
    assert format.format_elapsed(seconds) == said


@pytest.mark.parametrize(
    ("state", "exit_code", "number", "said"),
    [
        (RunState.SUCCEEDED, 0, None, "ok"),
        (RunState.FAILED, 2, None, "exit 2"),
        (RunState.FAILED, None, 9, "SIGKILL"),
        (RunState.FAILED, None, 99, "signal 99"),
        (RunState.TIMED_OUT, None, 15, "timed out"),
        (RunState.LOST, None, None, "lost"),
    ],
)
def test_the_outcome_of_a_run(state: RunState, exit_code: int | None, number: int | None, said: str) -> None:
    assert format.format_outcome(state, exit_code, number) == said


def test_the_last_run_is_shown_with_its_outcome_and_age() -> None:
    good, bad = recent(1, ended=before(seconds=3))[0], recent("x", ended=before(seconds=18))[0]
    assert format.format_last_run(good, NOW, ZONE) == "ok 3s ago"
    assert format.format_last_run(bad, NOW, ZONE) == "exit 2, 18s ago"


@pytest.mark.parametrize(
    ("waits", "said"),
    [
        (reason(Code.WAITING_FOR_SLOT, limit=4), "slot"),
        (reason(Code.WAITING_FOR_PREVIOUS), "queue"),
        (reason(Code.JITTER, at=NOW), "jitter"),
        (reason(Code.CAUGHT_UP, late=9000, cause=reason(Code.STAGGERED, at=NOW)), "catching up"),
        (reason(Code.PARALLEL_LIMIT, live=3, limit=3), "parallel limit"),
        (text_reason("the moon"), "the moon"),
        (None, ""),
    ],
)
def test_what_a_queued_run_waits_for(waits: Reason | None, said: str) -> None:
    assert format.format_wait(waits) == said


EVERYTHING = {
    TaskState.RUNNING: {"is_running": True},
    TaskState.DISABLED: {"is_disabled": True},
    TaskState.UNBUILT: {"build": None},
    TaskState.HELD: {"held_since": NOW, "failures": 3},
    TaskState.PAUSED: {"pause": PAUSE},
    TaskState.RETRYING: {"retry_at": NOW, "is_queued": True},
    TaskState.QUEUED: {"is_queued": True, "waiting": "waits for the run before it"},
    TaskState.FAILING: {"is_error": True},
    TaskState.IDLE: {},
}


@pytest.mark.parametrize("state", EVERYTHING, ids=lambda state: state.label)
def test_of_several_states_the_most_important_is_shown(state: TaskState) -> None:
    from_here_on = list(EVERYTHING)[list(EVERYTHING).index(state) :]
    true_of_it = {name: value for each in from_here_on for name, value in EVERYTHING[each].items()}
    assert state_of(task("ping", **true_of_it)) is state
    assert cell_len(state.glyph) == 1


def test_every_state_has_its_own_glyph() -> None:
    assert set(EVERYTHING) == set(TaskState)
    assert len({state.glyph for state in TaskState}) == len(TaskState)


def test_a_sparkline_shows_long_and_failed_runs() -> None:
    assert format.sparkline(recent(1, 1, 1, 1.6, 3.4, 50, "x", 0)) == "▂▂▂▃▇█✗▁"
    assert format.sparkline(recent("x", "x")) == "✗✗"
    assert format.sparkline(()) == ""


def test_a_schedule_is_abbreviated() -> None:
    assert format.abbreviate_schedule("every 10 seconds") == "every 10s"
    assert format.abbreviate_schedule("at start; every day at 22:00") == "at start; daily 22:00"
    assert format.abbreviate_schedule("every 3 hours") == "every 3h"
    assert format.abbreviate_schedule("Fridays at 22:00") == "Fri 22:00"
    assert format.abbreviate_schedule("every day at 22:00") == "daily 22:00"
    assert format.abbreviate_schedule("every hour") == "every hour"


def test_paths_and_lists_are_shortened() -> None:
    assert format.abbreviate_path("/home/user/keiji", "/home/user") == "~/keiji"
    assert format.abbreviate_path("/srv/keiji", "/home/user") == "/srv/keiji"
    assert format.format_names(["a", "b", "c", "d"]) == "a, b and 2 more"


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scope", [Scope.TASK, Scope.SERVICE, Scope.LOG])
def test_no_key_means_two_things_in_one_scope(scope: Scope) -> None:
    keys = Counter(key for action in actions_in(scope) for key in action.keys)
    assert [key for key, count in keys.items() if count > 1] == []


def test_no_key_is_one_that_terminals_confuse_or_that_scrolls_and_destroys() -> None:
    keys = {key: action for action in ACTIONS for key in action.keys}
    assert not {"ctrl+h", "ctrl+i", "ctrl+j", "ctrl+m", "ctrl+a", "ctrl+b"} & set(keys)
    assert all(action.risk is Risk.NONE for action in ACTIONS if "ctrl+d" in action.keys)


@pytest.mark.parametrize("link", [LinkState.OFFLINE, LinkState.STALE, LinkState.CONNECTING])
def test_nothing_can_be_written_while_the_engine_does_not_answer(link: LinkState) -> None:
    action_context = ActionContext(link=link, task=task("ping", is_running=True), service=services()[0])
    for action in ACTIONS:
        if requests.directive_for(action.id, action_context):
            assert action.disabled_reason(action_context), action.id


def test_a_readonly_terminal_writes_nothing() -> None:
    action_context = ActionContext(readonly=True, task=task("ping", is_error=True), service=services()[0])
    writing = [action for action in ACTIONS if requests.directive_for(action.id, action_context)]
    assert len(writing) > 6
    assert all("read-only" in action.disabled_reason(action_context) for action in writing)
    assert "read-only" in BY_ID["start-engine"].disabled_reason(ActionContext(readonly=True, link=LinkState.OFFLINE))


@pytest.mark.parametrize(
    ("action", "changes", "reason"),
    [
        ("run", {"is_running": True}, "already running"),
        ("run", {"build": None}, "not built"),
        ("stop", {}, "not running"),
        ("restart", {"is_disabled": True}, "disabled"),
        ("resolve", {}, "no error"),
        ("dismiss", {}, "no task has changed sources"),
    ],
)
def test_a_key_says_why_it_is_not_available(action: str, changes: dict[str, object], reason: str) -> None:
    assert reason in BY_ID[action].disabled_reason(ActionContext(task=task("ping", **changes)))


@pytest.mark.parametrize("overlap", ["queue", "replace", "allow"])
def test_a_task_that_does_not_skip_can_be_run_while_it_runs(overlap: str) -> None:
    running = task("ping", is_running=True, overlap=overlap)
    assert BY_ID["run"].disabled_reason(ActionContext(task=running)) == ""


def test_why_can_be_asked_without_an_engine() -> None:
    assert BY_ID["why"].disabled_reason(ActionContext(link=LinkState.OFFLINE, readonly=True, task=task("ping"))) == ""


def test_an_engine_is_started_only_where_none_answers() -> None:
    assert BY_ID["start-engine"].disabled_reason(ActionContext(link=LinkState.OFFLINE)) == ""
    assert BY_ID["start-engine"].disabled_reason(ActionContext(link=LinkState.STALE)) == "the engine is running"
    assert BY_ID["start-engine"].disabled_reason(ActionContext()) == "the engine is running"


def test_the_footer_starts_with_help_on_its_right_and_has_only_what_is_meant_for_it() -> None:
    shown = footer_actions(Scope.TASK)
    assert [action.id for action in shown[:3]] == ["help", "palette", "quit"]
    assert all(action.footer for action in shown)


@pytest.mark.parametrize(
    ("directive", "line"),
    [
        (Disable(task="ping_google"), "keiji task disable ping_google"),
        (BuildTask(task="ping", restart=True), "keiji task build ping --restart"),
        (RunTask(task="it's [b]"), """keiji task run 'it'"'"'s [b]'"""),
        (RestartService(service="scheduler"), "keiji system restart --scheduler"),
        (StopService(service="bus"), "keiji system stop --bus"),
        (PauseTask(task="ping"), "keiji task pause ping"),
        (ResumeTask(task="ping"), "keiji task resume ping"),
        (PauseSystem(reason="it's [b]"), """keiji system pause --reason='it'"'"'s [b]'"""),
        (ResumeSystem(), "keiji system resume"),
        (RunTask(task="ping", params={"day": "a b", "n": "1"}), "keiji task run ping -- 'day=a b' n=1"),
        (
            RunTask(task="ping", timeout=5, due=datetime(2026, 11, 1, tzinfo=UTC)),
            "keiji task run ping --timeout=5 --due=2026-11-01T00:00:00+00:00",
        ),
        (
            Create(name="b", schedule="0 3 * * *", cwd="/srv", tags=("a b", "c"), command=("./x", "--full", "")),
            "keiji task create b --schedule='0 3 * * *' --cwd=/srv --tag='a b' --tag=c -- ./x --full ''",
        ),
        (Create(name="b", shell="a | b"), "keiji task create b --shell='a | b'"),
        (RerunTask(task="ping", run="0661"), "keiji task rerun ping 0661"),
        (RenameTask(task="ping", new_name="new name"), "keiji task rename ping 'new name'"),
        (
            BackfillTask(task="ping", begin="2026-11-01", end="2026-11-07", parallel=2, again=True, params={"n": "1"}),
            "keiji task backfill ping --from=2026-11-01 --to=2026-11-07 --parallel=2 --again -- n=1",
        ),
        (StopBackfill(task="ping", backfill=3), "keiji task backfill ping --stop=3"),
        (ResumeBackfill(task="ping", backfill=3), "keiji task backfill ping --resume=3"),
        (RollBack(task="ping"), "keiji task rollback ping"),
        (PinBuild(task="ping", build="0457"), "keiji task pin ping 0457"),
        (UnpinBuild(task="ping", build="0457"), "keiji task unpin ping 0457"),
        (Apply(), "keiji apply"),
        (Apply(prune=("a", "b")), "keiji apply --prune"),
    ],
)
def test_each_directive_names_its_equal_on_the_command_line(directive: Directive, line: str) -> None:
    assert commands.command_line(directive) == line
    assert commands.recorded_command(directive.verb, directive.target, directive.options) == line, "from the ledger"


def test_the_ledger_has_no_values_of_environment_variables() -> None:
    directive = RunTask(task="ping", env={"TOKEN": "secret"})
    assert directive.options == {"env": "TOKEN"}
    assert commands.recorded_command("run", "ping", directive.options) == "keiji task run ping --env=TOKEN='…'"


def test_what_the_engine_says_beyond_what_was_done_is_told() -> None:
    done = Done(id="1", lines=("resumed task ping", "everything is paused, so it does not run yet"))
    told = requests.success_message(ResumeTask(task="ping"), "ping", done)
    assert told == "ping resumed\neverything is paused, so it does not run yet\n$ keiji task resume ping"
    waits = Done(id="1", lines=("task ping waits for a slot (run 01)",))
    assert requests.success_message(RunTask(task="ping"), "ping", waits).startswith("ping is queued to run\n")


def test_only_a_delete_has_to_be_typed() -> None:
    assert requests.confirmation(Delete(task="ping"), "ping").required_text == "ping"
    assert requests.confirmation(StopService(service="bus"), "bus").required_text == ""


def test_a_due_time_fits_into_its_column() -> None:
    assert cell_len(format.format_until(NOW + timedelta(days=35), NOW, ZONE)) <= 14
