"""Clients find the engine, whoever deletes its files or takes their names; nobody else can use them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import zmq
from command_line import Result, run_command, run_process
from installation import TIMEOUT, Installation, until

from keiji import engine_lock, engine_process
from keiji.errors import EngineRunning, KeijiError
from keiji.paths import Paths
from keiji_engine.bus import protocol as p
from keiji_engine.client import facade

NOBODY = 65534
PRINTS_UMASK = "import os\ndef function():\n    open('made', 'w').close()\n    print(f'umask {os.umask(0):03o}')\n"

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


def keiji(installation: Installation, *arguments: str) -> Result:
    return run_command(*arguments, environment=installation.environment)


def output_of(result: Result, code: int = 0) -> str:
    assert result.code == code, result
    return result.stdout + result.stderr


def empty(runtime: Path) -> None:
    """Delete what is in the runtime folder; here it contains the run files, too."""
    for path in runtime.iterdir():
        if not path.is_dir():
            path.unlink()


def files_of(paths: Paths) -> tuple[Path, ...]:
    return paths.engine_info, paths.control_socket, paths.state_socket, paths.log_socket, paths.engine_lock


def test_deleted_files_are_created_again_and_clients_stay_connected(shared: Installation) -> None:
    paths, pid = shared.paths, engine_process.find_pid(shared.paths)
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.linger = 0
        client.connect(f"ipc://{paths.control_socket}")

        def ping() -> None:
            client.send_multipart(p.encode(p.Ping()))
            assert client.poll(TIMEOUT * 1000)
            assert isinstance(p.decode_reply(client.recv_multipart()), p.Pong)

        ping()
        connections: list[str] = []
        for delete in (partial(empty, paths.runtime), paths.engine_lock.unlink, paths.state_socket.unlink):
            delete()
            until(lambda: all(path.exists() for path in files_of(paths)), timeout=5)
            until(lambda: engine_process.is_running(paths))
            ping()
            connections.append(keiji(shared, "system", "status").stdout)
    assert all(f"engine {pid}," in status for status in connections)
    holder = engine_lock.find_holder(paths.engine_lock)
    assert holder is not None
    assert (holder.pid, holder.runtime) == (pid, str(paths.runtime))
    assert paths.runtime.stat().st_mode & 0o777 == 0o700
    until(lambda: "have been created again" in paths.service_log("engine").read_text())
    assert keiji(shared, "system", "start").code == 0


def test_a_client_in_another_environment_finds_the_sockets(shared: Installation, tmp_path: Path) -> None:
    elsewhere = replace(shared.paths, runtime=tmp_path / "default of the client")
    assert facade.ask(elsewhere, p.Ping()).engine.pid == engine_process.find_pid(shared.paths)
    assert engine_process.locate(elsewhere) == shared.paths


def test_an_engine_that_cannot_be_reached_is_named_by_every_command_and_can_be_stopped(
    installation: Installation,
) -> None:
    pid = installation.start()
    installation.signal(signal.SIGSTOP)
    shutil.rmtree(installation.paths.runtime)
    commands = (("system", "status"), ("system", "start"), ("task", "list"), ("task", "create", "x"))
    with ThreadPoolExecutor() as pool:
        run = partial(run_process, environment=installation.environment)
        results = list(pool.map(lambda arguments: run(*arguments), commands))
    for result in results:
        assert result.code == 5, result
        assert f"an engine (pid {pid}) is running, but it cannot be reached: " in result.stderr, result
        assert "keiji system restart" in result.stderr
    assert "no engine is running" not in results[0].stdout
    assert f"engine {pid} stopped" in output_of(keiji(installation, "system", "stop"))
    assert keiji(installation, "system", "status").code == 3
    assert installation._wait_for_exit() == 0


def test_a_stale_pid_is_never_signalled(installation: Installation) -> None:
    pid = installation.start()
    info, lock = installation.paths.engine_info, installation.paths.engine_lock
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        try:
            forged = {path: json.loads(path.read_text()) | {"pid": stranger.pid} for path in (info, lock)}
            installation.kill()
            for path, data in forged.items():
                path.write_text(json.dumps(data))
            assert "nothing to stop" in output_of(keiji(installation, "system", "stop", "--force"))
            pid = installation.start()
            info.write_text(json.dumps(forged[info]))
            assert f"engine {pid} stopped" in output_of(keiji(installation, "system", "stop", "--force"))
            assert stranger.poll() is None
        finally:
            stranger.kill()
    installation._wait_for_exit()


def test_a_workspace_has_one_engine_whatever_the_data_folder(shared: Installation, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(shared.paths.workspace)
    assert Paths.under(shared.paths.data, link) == shared.paths
    other = Paths.under(tmp_path / "other", link)
    expected = f"pid {engine_process.find_pid(shared.paths)}.*data in {shared.paths.data} instead of {other.data}"
    attempts: list[Callable[[], object]] = [
        lambda: engine_process.start(other),
        lambda: facade.ask(other, p.Create(name="x")),
        lambda: facade.ask(other, p.GetTasks()),
    ]
    for attempt in attempts:
        with pytest.raises(EngineRunning, match=expected):
            attempt()
    with pytest.raises(EngineRunning, match=expected), engine_process.hold_engine_lock(other):
        pass
    environment = {"KEIJI_ROOT": str(other.data), "KEIJI_WORKSPACE": str(link)}
    for arguments in (("system", "status"), ("system", "uninstall", "--yes", "--workspace")):
        result = run_command(*arguments, environment=environment)
        assert str(shared.paths.data) in result.stderr, result
    assert shared.paths.settings.exists()


def test_everything_is_private_whatever_the_umask_and_open_files_are_closed(installation: Installation) -> None:
    paths = installation.paths
    installation.build("umask", PRINTS_UMASK)
    env = paths.source("umask") / ".env"
    opened = (paths.settings, env, paths.database, paths.logs / "services", paths.engine_lock)
    env.touch()
    paths.engine_lock.touch()
    for path in opened:
        path.chmod(0o777 if path.is_dir() else 0o666)
    paths.data.chmod(0o755)
    installation.start(prepare=partial(_set_umask, 0o022))
    until(lambda: not any(path.stat().st_mode & 0o077 for path in (*opened, paths.data)))
    installation.do(p.Create(name="made"))
    installation.do(p.RunTask(task="umask"))
    installation.ended("umask")
    assert 'msg="umask 022"' in installation.log("umask")
    assert (paths.work / "umask" / "made").stat().st_mode & 0o777 == 0o644
    log_files = [file for file in paths.logs.rglob("*") if file != installation.output]
    created = [paths.source("made"), *paths.source("made").iterdir(), *paths.data.iterdir(), *paths.runtime.iterdir()]
    for path in (*log_files, *created, *paths.database.parent.iterdir(), paths.workspace_lock):
        assert path == paths.workspace or not path.lstat().st_mode & 0o077, path


def _set_umask(umask: int) -> None:
    os.umask(umask)


@only_root
def test_a_runtime_name_that_another_user_has_taken_is_avoided(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)  # too long for sockets: the runtime folder is in a folder that all users share
    paths = Paths.under(deep)
    assert not paths.runtime.is_relative_to(deep)
    paths.runtime.mkdir()
    os.chown(paths.runtime, NOBODY, NOBODY)
    try:
        with engine_process.hold_engine_lock(paths) as lock:
            taken, used = paths.runtime, lock.paths.runtime
            assert used != taken
            assert engine_process.locate(paths) == lock.paths
            used.rename(f"{used}.moved")  # and while the engine runs
            Path(f"{used}.moved").rmdir()
            used.touch()
            assert not lock.is_in_place()
            lock.restore()
            assert lock.is_in_place()
            assert lock.paths.runtime not in (taken, used)
            used.unlink()
        assert not lock.paths.runtime.exists()
        assert taken.stat().st_uid == NOBODY
    finally:
        paths.runtime.rmdir()


@only_root
def test_the_state_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    monkeypatch.setenv("HOME", str(home))
    for name in ("KEIJI_ROOT", "KEIJI_WORKSPACE", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for arguments in (("init",), ("system", "start"), ("task", "list")):
        if arguments != ("init",):
            Paths.from_environment().tasks.mkdir(parents=True, exist_ok=True)
            Paths.from_environment().settings.touch()
        result = run_command(*arguments, environment={})
        assert result.code == 1
        assert f"you are root, but your home folder {home} belongs to nobody" in result.stderr
        assert "KEIJI_ROOT" in result.stderr
    assert {path.name for path in home.iterdir()} == {"keiji"}, "only what this test has created"

    paths = Paths.under(tmp_path / "root")
    paths.data.mkdir()
    paths.engine_lock.touch()
    os.chown(paths.engine_lock, NOBODY, NOBODY)
    with pytest.raises(KeijiError, match="belongs to nobody"), engine_process.hold_engine_lock(paths):
        pass


@only_root
def test_without_a_usable_home_the_error_names_a_cure() -> None:
    uid = 54321  # without an entry in /etc/passwd
    # The modules are imported by root, since the user may not be able to read them.
    program = f"""
import os, sys, platformdirs, pwd, keiji_cli.init, keiji_engine.client.facade
from keiji_cli.main import main
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
main()
"""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        for variables, expected in (
            ({}, f"HOME is not set, and uid {uid} has no entry"),
            ({"HOME": ""}, "HOME is not an absolute path"),
            ({"HOME": folder}, f"cannot create {folder}/keiji: Permission denied"),
            ({"KEIJI_ROOT": f"{folder}/x"}, f"cannot create {folder}/x: Permission denied"),
            ({"KEIJI_ROOT": "~/x"}, "HOME is not set"),
        ):
            result = subprocess.run(
                [sys.executable, "-c", program, "init"],
                env={"PATH": os.environ["PATH"], **variables},
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                timeout=TIMEOUT,
            )
            assert result.returncode == 1, result
            assert expected in result.stderr
            assert "KEIJI_ROOT" in result.stderr
            assert "Traceback" not in result.stderr
