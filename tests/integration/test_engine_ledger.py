"""The ledger of a real engine: who sent each directive, and the events of the engine's own life."""

from __future__ import annotations

import getpass
import os
import signal

import pytest
from installation import Installation, until

from keiji.errors import TaskNotFound
from keiji_engine.bus import protocol as p
from keiji_engine.bus.security import user_name
from keiji_engine.bus.views import DirectiveView

USER = user_name(os.geteuid())


def ledger(installation: Installation) -> list[DirectiveView]:
    """Return the ledger, oldest row first."""
    return list(reversed(installation.ask(p.GetDirectives(limit=100)).directives))


def entries(installation: Installation, verb: str, target: str = "") -> list[DirectiveView]:
    return [entry for entry in ledger(installation) if (entry.verb, entry.target) == (verb, target)]


def test_a_directive_has_the_user_of_the_process_that_sent_it(shared: Installation) -> None:
    shared.build("sent")
    [entry] = entries(shared, "build", "sent")
    assert (entry.user, entry.sudo_user, entry.sender, entry.stage) == (USER, "", "test", "done")


def test_a_directive_has_the_user_who_called_sudo_as_the_client_states(
    shared: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.build("by_sudo")
    monkeypatch.setenv("SUDO_USER", "ann")
    shared.do(p.Disable(task="by_sudo"))
    monkeypatch.delenv("SUDO_USER")
    shared.do(p.Enable(task="by_sudo"))
    [disabled], [enabled] = entries(shared, "disable", "by_sudo"), entries(shared, "enable", "by_sudo")
    assert (disabled.user, disabled.sudo_user) == (USER, "ann")
    assert (enabled.user, enabled.sudo_user) == (USER, "")


def test_a_client_cannot_state_another_user(shared: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    shared.build("by_mallory")
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    assert getpass.getuser() == "mallory"
    shared.do(p.Disable(task="by_mallory"))
    [entry] = entries(shared, "disable", "by_mallory")
    assert entry.user == USER


def test_a_directive_without_an_engine_has_the_user_of_the_command(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    installation.build("ping")
    [entry] = entries(installation, "build", "ping")
    assert (entry.user, entry.sudo_user) == (USER, "ann")


def test_a_refused_directive_is_in_the_ledger_with_its_user(shared: Installation) -> None:
    with pytest.raises(TaskNotFound):
        shared.do(p.RunTask(task="unknown"))
    [entry] = entries(shared, "run", "unknown")
    assert (entry.user, entry.stage) == (USER, "refused")
    assert "unknown" in entry.lines[0]


def test_start_reload_and_stop_of_the_engine_are_in_the_ledger(installation: Installation) -> None:
    pid = installation.start()
    installation.signal(signal.SIGHUP)
    until(lambda: entries(installation, "engine-reload"), "the reload is recorded")
    installation.write_settings(TIME_ZONE="Mars/Base")
    installation.signal(signal.SIGHUP)
    until(lambda: len(entries(installation, "engine-reload")) == 2, "the failed reload is recorded")
    installation.write_settings()
    installation.stop()
    rows = ledger(installation)
    assert [row.verb for row in rows] == ["engine-start", "engine-reload", "engine-reload", "engine-stop"]
    assert {(row.sender, row.user, row.sudo_user) for row in rows} == {("keiji-engine", USER, "")}
    assert [row.stage for row in rows] == ["done", "done", "refused", "done"]
    start, reload, failed_reload, stop = (row.lines[0] for row in rows)
    assert f"(pid {pid})" in start
    assert reload == "settings read again"
    assert failed_reload.startswith("the settings are unchanged: ")
    assert "Mars/Base" in failed_reload
    assert stop == "stopped as requested"
    assert all(row.completed_at is not None for row in rows)


def test_a_killed_engine_has_no_stop_in_the_ledger(installation: Installation) -> None:
    installation.start()
    installation.kill()
    installation.start()
    installation.stop()
    assert [row.verb for row in ledger(installation)] == ["engine-start", "engine-start", "engine-stop"]
