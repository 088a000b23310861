"""`keiji-tui` as it is started, and its link over a real bus to a real engine."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import pytest

from keiji import engine_process
from keiji.errors import TaskNotFound
from keiji.paths import Paths
from keiji.settings import template
from keiji_engine.bus.protocol import RunTask, Snapshot
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.cli import parse_options
from keiji_tui.engine.bus_link import BusLink
from keiji_tui.state.store import Update

LIMIT = 15.0
T = TypeVar("T")


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keiji_tui", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)


def test_without_a_terminal_the_program_names_commands_that_need_none() -> None:
    ended = program()
    assert ended.returncode == 2
    assert "a terminal is required" in ended.stderr
    assert "keiji task get" in ended.stderr


def test_a_wrong_option_is_wrong_usage() -> None:
    assert program("--colour").returncode == 2


def test_help_and_version_need_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for option, words in (("--help", "--readonly"), ("--version", "keiji 0"), ("-V", "keiji 0")):
        with pytest.raises(SystemExit) as ended:
            parse_options([option])
        assert ended.value.code == 0
        assert words in capsys.readouterr().out


def test_root_leads_to_another_installation(tmp_path: Path) -> None:
    options = parse_options(["--root", str(tmp_path), "--task", "ping", "--readonly"])
    assert (options.paths.data, options.task, options.readonly) == (tmp_path, "ping", True)


# ── the real link ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    monkeypatch.setenv("KEIJI_ROOT", str(tmp_path))
    paths = Paths.under(tmp_path)
    paths.tasks.mkdir(parents=True)
    paths.settings.write_text(template("Africa/Nairobi"))
    yield paths
    if engine_process.is_running(paths):
        engine_process.send_signal(paths, signal.SIGKILL)
        assert engine_process.wait_for_exit(paths, LIMIT)


async def first(updates: AsyncIterator[Update], kind: type[T], state: LinkState | None = None) -> T:
    async with asyncio.timeout(LIMIT):
        async for update in updates:
            if isinstance(update, kind) and (state is None or getattr(update, "state", None) is state):
                return update
    raise AssertionError("the updates ended")


async def test_the_link_starts_an_engine_joins_it_and_notices_its_death(paths: Paths) -> None:
    link = BusLink(paths)
    async with aclosing(link.updates()) as updates:  # type: ignore[type-var]
        await first(updates, LinkChanged, LinkState.OFFLINE)
        await link.start_engine()
        snapshot = await first(updates, Snapshot)
        assert (snapshot.engine.time_zone, snapshot.tasks) == ("Africa/Nairobi", ())
        await first(updates, LinkChanged, LinkState.LIVE)
        with pytest.raises(TaskNotFound):
            await link.send(RunTask(task="nothing"))
        with pytest.raises(TaskNotFound):
            await link.runs("nothing", 5)
        for ask in (link.explain("nothing"), link.upcoming("nothing", 5)):
            with pytest.raises(TaskNotFound):
                await ask
        for query in (link.active_build("nothing"), link.difference("nothing")):
            with pytest.raises(TaskNotFound):
                await query
        refused, start = await link.directives(10)
        assert (start.verb, start.stage, start.sender) == ("engine-start", "done", "keiji-engine")
        assert (refused.verb, refused.stage, refused.sender) == ("run", "refused", "keiji-tui")
        assert (await link.timeline()).instants == ()
        engine_process.send_signal(paths, signal.SIGKILL)
        gone = await first(updates, LinkChanged, LinkState.OFFLINE)
        assert not gone.engine_is_running
    await link.close()
