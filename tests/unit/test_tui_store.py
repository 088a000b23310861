"""The state of the terminal: updates of the engine go in, what is shown comes out."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keiji.errors import EngineOffline
from keiji.reasons import Code
from keiji_engine.bus.protocol import (
    AnyEvent,
    BuildTask,
    Delta,
    Directive,
    DirectiveChanged,
    Disable,
    Heartbeat,
    PauseSystem,
    RestartService,
    ServiceChanged,
    Snapshot,
    TaskChanged,
    TaskRemoved,
)
from keiji_engine.bus.views import EngineView, LinkChanged, LinkState, ServiceStatus, ServiceView, TaskView
from keiji_tui.state.ledger import MAX_ENTRIES
from keiji_tui.state.store import Store
from keiji_tui.state.task_state import TaskCounts, TaskState, is_overdue, state_of

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def task(name: str, /, **changes: Any) -> TaskView:
    return TaskView(**{"id": 1, "task_id": name, "name": name, "slug": name, "build": "b", **changes})


def service(name: str, status: ServiceStatus = ServiceStatus.ONLINE) -> ServiceView:
    return ServiceView(name=name, status=status, since=NOW)


def snapshot(*tasks: TaskView, boot: str = "one", zone: str = "UTC", services: tuple[str, ...] = ()) -> Snapshot:
    engine = EngineView(
        pid=1, version="1", boot=boot, started_at=NOW, workspace="/w", database="sqlite", time_zone=zone
    )
    parts = tuple(service(name) for name in services)
    return Snapshot(id="s", boot=boot, seq=0, engine=engine, services=parts, tasks=tasks)


def happened(event: AnyEvent) -> Delta:
    return Delta(boot="one", seq=1, event=event)


def event_of(directive: Directive, stage: str) -> DirectiveChanged:
    return DirectiveChanged(directive=directive.id, verb=directive.verb, target=directive.target, stage=stage)


@pytest.fixture
def store() -> Store:
    store = Store()
    store.apply(snapshot(task("backup"), task("Alpha"), task("ping")), NOW)
    return store


def test_tasks_are_sorted_by_name_regardless_of_case(store: Store) -> None:
    assert store.visible_slugs() == ["Alpha", "backup", "ping"]
    assert store.is_live


def test_a_change_replaces_a_task_in_its_place(store: Store) -> None:
    store.apply(happened(TaskChanged(task=task("backup", is_running=True))), NOW)
    assert store.tasks["backup"].is_running
    assert store.visible_slugs() == ["Alpha", "backup", "ping"]


def test_a_new_task_appears_where_its_name_belongs(store: Store) -> None:
    store.apply(happened(TaskChanged(task=task("beta"))), NOW)
    assert store.visible_slugs() == ["Alpha", "backup", "beta", "ping"]


def test_a_removed_task_is_gone(store: Store) -> None:
    store.apply(happened(TaskRemoved(slug="backup")), NOW)
    assert store.visible_slugs() == ["Alpha", "ping"]


def test_a_snapshot_replaces_everything(store: Store) -> None:
    store.apply(snapshot(task("other"), boot="two"), NOW)
    assert list(store.tasks) == ["other"]


def test_the_filter_finds_text_in_names_regardless_of_case(store: Store) -> None:
    store.name_filter = "P"
    assert store.visible_slugs() == ["Alpha", "backup", "ping"]
    store.name_filter = "BACK"
    assert store.visible_slugs() == ["backup"]


def test_data_stays_when_the_engine_is_gone(store: Store) -> None:
    store.apply(LinkChanged(LinkState.OFFLINE, "no engine is running"), NOW)
    assert not store.is_live
    assert store.visible_slugs() == ["Alpha", "backup", "ping"]
    assert store.silent_seconds(NOW + timedelta(seconds=12)) == 12


def test_a_heartbeat_ends_staleness_but_not_absence(store: Store) -> None:
    beat = Heartbeat(boot="one", seq=0, loop_lag=0.0)
    store.apply(LinkChanged(LinkState.STALE), NOW)
    store.apply(beat, NOW)
    assert store.link is LinkState.LIVE
    store.apply(LinkChanged(LinkState.OFFLINE), NOW)
    store.apply(beat, NOW)
    assert store.link is LinkState.OFFLINE


def test_services_keep_their_order_and_unknown_ones_come_last() -> None:
    store = Store()
    store.apply(snapshot(services=("zeta", "watcher", "bus", "scheduler")), NOW)
    assert list(store.services) == ["bus", "scheduler", "watcher", "zeta"]
    store.apply(happened(ServiceChanged(service=service("runner"))), NOW)
    assert list(store.services) == ["bus", "scheduler", "runner", "watcher", "zeta"]


def test_nothing_is_scheduled_while_the_scheduler_is_off(store: Store) -> None:
    assert store.is_scheduler_up()
    store.apply(happened(ServiceChanged(service=service("scheduler", ServiceStatus.OFFLINE))), NOW)
    assert not store.is_scheduler_up()


def test_a_directive_is_pending_until_it_is_done(store: Store) -> None:
    directive = Disable(task="ping")
    store.ledger.add_sent(directive, NOW)
    assert store.pending_of(store.tasks["ping"]) == "disable"
    assert store.pending_of(store.tasks["backup"]) == ""
    store.ledger.mark_done(directive, (), NOW)
    assert store.pending_of(store.tasks["ping"]) == ""


def test_a_directive_without_an_answer_does_not_stay_pending(store: Store) -> None:
    directive = Disable(task="ping")
    store.ledger.add_sent(directive, NOW)
    store.apply(happened(event_of(directive, "accepted")), NOW)
    store.ledger.mark_failed(directive, EngineOffline(), NOW)
    assert store.pending_of(store.tasks["ping"]) == ""


def test_the_newest_unfinished_directive_of_a_task_is_the_pending_one_whichever_name_was_used() -> None:
    store = Store()
    store.apply(snapshot(task("ping", name="Ping it")), NOW)
    build, disable = BuildTask(task="Ping it"), Disable(task="ping")
    store.ledger.add_sent(disable, NOW + timedelta(seconds=1))
    store.ledger.add_sent(build, NOW)
    assert store.pending_of(store.tasks["ping"]) == "disable"
    store.ledger.mark_done(disable, (), NOW)
    assert store.pending_of(store.tasks["ping"]) == "build"


def test_pausing_everything_is_pending_until_the_engine_has_done_it(store: Store) -> None:
    directive = PauseSystem(reason="maintenance")
    store.ledger.add_sent(directive, NOW)
    assert store.pending_of_all() == "pause"
    store.apply(happened(event_of(directive, "done")), NOW)
    assert store.pending_of_all() == ""


def test_a_pending_directive_that_the_ledger_drops_is_no_longer_pending(store: Store) -> None:
    store.ledger.add_sent(Disable(task="ping"), NOW)
    for number in range(MAX_ENTRIES):
        store.ledger.add_sent(Disable(task="backup"), NOW + timedelta(seconds=number + 1))
    assert store.pending_of(store.tasks["ping"]) == ""
    assert store.pending_of(store.tasks["backup"]) == "disable"


def test_a_directive_of_another_terminal_is_pending_here_too(store: Store) -> None:
    changed = DirectiveChanged(directive="d", verb="build", target="ping", stage="accepted", sender="keiji")
    store.apply(happened(changed), NOW)
    assert store.pending_of(store.tasks["ping"]) == "build"
    store.apply(happened(DirectiveChanged(directive="d", verb="build", target="ping", stage="done")), NOW)
    assert store.pending_of(store.tasks["ping"]) == ""


def test_a_task_named_like_a_service_is_not_taken_for_it() -> None:
    store = Store()
    store.apply(snapshot(task("bus"), services=("bus",)), NOW)
    store.ledger.add_sent(RestartService(service="bus"), NOW)
    assert store.pending_of(store.services["bus"]) == "restart"
    assert store.pending_of(store.tasks["bus"]) == ""


@pytest.mark.parametrize("update", [LinkChanged(LinkState.OFFLINE), snapshot(task("ping"), boot="two")])
def test_no_directive_stays_pending_when_its_engine_is_gone(store: Store, update: Any) -> None:
    ping = store.tasks["ping"]
    store.ledger.add_sent(BuildTask(task="ping"), NOW)
    assert store.pending_of(ping) == "build"
    store.apply(update, NOW)
    assert store.pending_of(ping) == ""


def test_a_rebuild_is_offered_for_the_selected_task_first(store: Store) -> None:
    assert store.rebuild_offer("ping") is None
    for name in ("Alpha", "ping"):
        store.apply(happened(TaskChanged(task=task(name, source_changes=("function.py",)))), NOW)
    assert (store.rebuild_offer("ping") or task("")).slug == "ping"
    assert (store.rebuild_offer("backup") or task("")).slug == "Alpha"
    assert store.counts.changed == 2


def test_a_dismissed_offer_comes_back_when_the_sources_change_again(store: Store) -> None:
    edited = task("ping", source_changes=("function.py",))
    store.apply(happened(TaskChanged(task=edited)), NOW)
    store.dismiss("ping")
    assert store.rebuild_offer(None) is None
    store.apply(snapshot(edited, boot="two"), NOW)
    assert store.rebuild_offer(None) is None
    further = task("ping", source_changes=("function.py",), source_error="function.py, line 3: invalid syntax")
    store.apply(happened(TaskChanged(task=further)), NOW)
    assert store.rebuild_offer(None) == further


def test_a_task_that_is_not_started_in_time_is_overdue_while_the_engine_answers(store: Store) -> None:
    due = task("ping", next_execution_time=NOW)
    store.apply(happened(TaskChanged(task=due)), NOW)
    for seconds, code in ((1, Code.DUE), (60, Code.OVERDUE)):
        now = NOW + timedelta(seconds=seconds)
        assert [reason.code for reason in store.reasons(due, now)] == [code]
        assert is_overdue(due, now) == (code == Code.OVERDUE)
    store.apply(LinkChanged(LinkState.OFFLINE), NOW)
    assert [reason.code for reason in store.reasons(due, now)] == [Code.ENGINE_OFFLINE, Code.DUE]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, TaskState.IDLE),
        ({"is_error": True}, TaskState.FAILING),
        ({"is_error": True, "retry_at": NOW}, TaskState.RETRYING),
        ({"build": None}, TaskState.UNBUILT),
        ({"is_disabled": True, "is_error": True}, TaskState.DISABLED),
        ({"is_running": True, "is_error": True, "is_disabled": True}, TaskState.RUNNING),
    ],
)
def test_the_most_important_state_of_a_task_is_shown(changes: dict[str, Any], state: TaskState) -> None:
    assert state_of(task("any", **changes)) is state


def test_every_state_has_its_own_glyph_and_label() -> None:
    assert len({state.glyph for state in TaskState}) == len({state.label for state in TaskState}) == len(TaskState)


def test_tasks_are_counted_by_state() -> None:
    store = Store()
    assert store.counts == TaskCounts()
    store.apply(snapshot(task("a", is_running=True), task("b", is_error=True), task("c", is_disabled=True)), NOW)
    assert store.counts == TaskCounts(tasks=3, running=1, failing=1, disabled=1)


def test_an_unknown_time_zone_is_shown_as_utc() -> None:
    store = Store(local_zone="Africa/Nairobi")
    assert store.zone.key == "Africa/Nairobi"
    store.apply(snapshot(zone="Mars/Olympus"), NOW)
    assert store.zone.key == "UTC"


def test_the_state_does_not_import_textual_or_sockets() -> None:
    modules = "keiji_tui.state.store, keiji_tui.actions.catalog, keiji_tui.actions.requests, keiji_tui.logs.buffer"
    program = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"textual", "rich", "zmq"} & set(loaded)
