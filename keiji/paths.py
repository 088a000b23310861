"""The paths of all files that keiji uses.

If ``KEIJI_ROOT`` is set, everything is under it. Otherwise the workspace is ``~/keiji`` (or ``KEIJI_WORKSPACE``), and
data, logs and runtime files are in the standard directories of the platform. Each workspace other than ``~/keiji`` has
its own state.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keiji.errors import KeijiError

# The path of a Unix socket is limited to 107 bytes on Linux and 103 on macOS.
MAX_SOCKET_PATH_BYTES = 103
_MAX_SOCKET_NAME_BYTES = len("/control.sock")


@dataclass(frozen=True, slots=True)
class Paths:
    """The root directories, and every path derived from them.

    Args:
        workspace: settings and the sources of tasks.
        data: database, builds, links and working directories.
        logs: logs of services and tasks.
        runtime: sockets, engine information and files of live runs; on a tmpfs if available; survives a logout.
    """

    workspace: Path
    data: Path
    logs: Path
    runtime: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """Return the paths that ``KEIJI_ROOT`` and ``KEIJI_WORKSPACE`` name, or the defaults of the platform.

        Raises:
            KeijiError: a path is not valid UTF-8.
        """
        paths = cls._from_environment(environ)
        for path in (paths.workspace, paths.data, paths.logs, paths.runtime):
            _require_utf8(path)
        return paths

    @classmethod
    def _from_environment(cls, environ: Mapping[str, str]) -> Paths:
        configured = environ.get("KEIJI_WORKSPACE")
        if environ.get("KEIJI_ROOT"):
            return cls.under(Path(environ["KEIJI_ROOT"]), Path(configured) if configured else None)

        import platformdirs  # deferred: takes 15 ms, and is not needed with KEIJI_ROOT

        default = Path.home() / "keiji"
        workspace = Path(os.path.abspath(Path(configured).expanduser())) if configured else default
        data = Path(platformdirs.user_data_dir("keiji", appauthor=False))
        logs = Path(platformdirs.user_log_dir("keiji", appauthor=False))
        if workspace != default:
            folder = f"{workspace.name}-{_digest(workspace)}"
            data, logs = data / "workspaces" / folder, logs / "workspaces" / folder
        return cls(workspace, data, logs, _runtime_folder(data))

    @classmethod
    def under(cls, root: Path, workspace: Path | None = None) -> Paths:
        """Return paths that are all under ``root``, except ``workspace`` if it is given."""
        root = Path(os.path.abspath(root.expanduser()))
        workspace = Path(os.path.abspath(workspace.expanduser())) if workspace else root / "workspace"
        runtime = root / "run"
        if len(os.fsencode(runtime)) + _MAX_SOCKET_NAME_BYTES > MAX_SOCKET_PATH_BYTES:
            runtime = _runtime_folder(root)
        return cls(workspace, root, root / "logs", runtime)

    @property
    def settings(self) -> Path:
        return self.workspace / "settings.conf"

    @property
    def tasks(self) -> Path:
        return self.workspace / "tasks"

    @property
    def engine_lock(self) -> Path:
        """Locked exclusively by a running engine."""
        return self.data / "engine.lock"

    @property
    def command_lock(self) -> Path:
        """Locked exclusively by a command that works without an engine."""
        return self.data / "command.lock"

    @property
    def database(self) -> Path:
        return self.data / "db" / "keiji.db"

    @property
    def builds(self) -> Path:
        return self.data / "builds"

    @property
    def links(self) -> Path:
        return self.data / "exec" / "tasks"

    @property
    def work(self) -> Path:
        return self.data / "work"

    @property
    def runs(self) -> Path:
        return self.runtime / "runs"

    @property
    def engine_info(self) -> Path:
        """What the engine publishes about itself without the bus (`keiji.engine_process.EngineInfo`)."""
        return self.runtime / "engine.json"

    @property
    def control_socket(self) -> Path:
        return self.runtime / "control.sock"

    @property
    def state_socket(self) -> Path:
        return self.runtime / "state.sock"

    @property
    def log_socket(self) -> Path:
        return self.runtime / "log.sock"

    def source(self, slug: str) -> Path:
        """Return the source folder of a task."""
        return self.tasks / slug

    def link(self, slug: str) -> Path:
        """Return the link to the active build of a task, which can be executed manually."""
        return self.links / slug

    def task_log(self, slug: str) -> Path:
        """Return the log of a task."""
        return self.logs / "tasks" / slug / f"{slug}.log"

    def service_log(self, service: str) -> Path:
        """Return the log of a service."""
        return self.logs / "services" / service / f"{service}.log"

    def create_folders(self) -> None:
        """Create the folders of the engine's state with mode 0700.

        Raises:
            KeijiError: a folder cannot be created, or the runtime folder belongs to another user.
        """
        for folder in (self.data, self.runtime):
            _create_folder(folder)
        status = os.lstat(self.runtime)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise KeijiError(
                f"{self.runtime} is not a folder that you own", hint="remove it, or set KEIJI_ROOT to another folder"
            )
        os.chmod(self.runtime, 0o700)
        for folder in (self.runs, self.database.parent, self.builds, self.links, self.work, self.logs):
            _create_folder(folder)


def _require_utf8(path: Path) -> None:
    # Paths are stored in the database, sent over the bus and written to scripts, all of which are UTF-8.
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise KeijiError(
            f"the path {os.fsencode(path)!r} is not valid UTF-8",
            hint="set KEIJI_ROOT and KEIJI_WORKSPACE to folders whose names are",
        ) from error


def _create_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        hint = "set KEIJI_ROOT to a folder that you can write to"
        raise KeijiError(f"cannot create {folder}: {error.strerror}", hint=hint) from error


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _runtime_folder(data: Path) -> Path:
    # XDG_RUNTIME_DIR is emptied when the user logs out, which would delete the files of live runs.
    shared = Path("/dev/shm")  # world-writable, so create_folders() sets mode 0700 and checks the owner
    base = shared if os.access(shared, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    return base / f"keiji-{os.getuid()}-{_digest(data)}"
