"""[defaults] in keiji.toml: applied by builds, at the start of an engine and on SIGHUP, and shown where they apply."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from command_line import run_command
from installation import Installation, until

from keiji.errors import InvalidSettings
from keiji_engine.bus import protocol as p

PRINTS = "import os\nos.environ['A']\ndef function():\n    print('values', os.environ.get('A'), os.environ.get('B'))\n"
DAILY = "on.day.at('06:00')"


def write(installation: Installation, text: str) -> None:
    (installation.paths.workspace / "keiji.toml").write_text(text)


def reload(installation: Installation) -> None:
    """Have the engine read its files again, and wait until it has."""
    before = len(installation.ask(p.GetDirectives()).directives)
    installation.signal(signal.SIGHUP)
    until(lambda: len(installation.ask(p.GetDirectives()).directives) > before)


def test_defaults_apply_to_tasks_that_set_nothing_else(installation: Installation) -> None:
    write(installation, "[defaults.policy]\noverlap = 'queue'\ntimeout = '5m'\n[defaults.env]\nA = 'one'\nB = 'two'\n")
    installation.build("plain", PRINTS, DAILY)
    # A task can set an option to keiji's own default, against the default of the workspace.
    installation.build("own", PRINTS, DAILY, "Policy(overlap='skip')")
    (installation.paths.source("own") / ".env").write_text("B=three\n")
    assert installation.task("plain").overlap == "queue"
    assert installation.task("plain").defaults == ("overlap", "timeout", "env.A", "env.B")
    assert installation.task("own").overlap == "skip"
    assert installation.task("own").defaults[0] == "timeout"
    shown = run_command("task", "get", "plain", environment=installation.environment).stdout
    assert "From keiji.toml: overlap, timeout, env.A, env.B" in shown
    explained = run_command("task", "explain", "plain", environment=installation.environment).stdout
    assert "from [defaults] in keiji.toml: overlap, timeout, env.A, env.B" in explained
    by_hand = subprocess.run(
        [sys.executable, "-m", "keiji_engine.builds.run_local", installation.paths.source("own"), "--run"],
        env=installation.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "values one three" in by_hand.stdout
    installation.start()
    for slug, values in (("plain", "values one two"), ("own", "values one three")):
        installation.do(p.RunTask(task=slug))
        installation.ended(slug)
        assert values in installation.log(slug)

    # A reload applies other defaults, and moves the schedules to another zone.
    before = installation.next_due("plain")
    write(installation, "[defaults]\nzone = 'Asia/Tokyo'\n")
    reload(installation)
    changed = installation.task("plain")
    assert (changed.overlap, changed.defaults, changed.zone) == ("skip", ("tz",), "Asia/Tokyo")
    assert installation.next_due("plain") != before

    # A mistake changes nothing while the engine runs, and keeps the next one from starting.
    write(installation, "[defaults]\nzone = 'Tokio'\n")
    reload(installation)
    assert installation.task("plain").zone == "Asia/Tokyo"
    [entry] = [each for each in installation.ask(p.GetDirectives()).directives if each.stage == "refused"]
    assert "keiji.toml, line 2: zone = 'Tokio': unknown time zone" in entry.lines[0]
    assert installation.stop() == 0
    with pytest.raises(InvalidSettings):
        installation.ask(p.BuildTask(task="plain"))
    assert installation.task("plain").zone == "Asia/Tokyo"
    (installation.paths.workspace / "keiji.toml").unlink()
    installation.start()
    assert (installation.task("plain").zone, installation.task("plain").defaults) == ("", ())
