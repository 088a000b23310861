"""The paths of all files that keiji uses.

If ``KEIJI_ROOT`` is set, everything is under it. Otherwise the workspace is ``~/keiji`` (or ``KEIJI_WORKSPACE``), and
data, logs and runtime files are in the standard directories of the platform. Each workspace other than ``~/keiji`` has
its own state. Symbolic links are resolved, so that a workspace has one state, however its path is spelled.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from keiji import private
from keiji.errors import KeijiError

# The path of a Unix socket is limited to 107 bytes on Linux and 103 on macOS.
MAX_SOCKET_PATH_BYTES = 103
_MAX_SOCKET_NAME_BYTES = len("/control.sock")


@dataclass(frozen=True, slots=True)
class Paths:
    """The root directories, and every path derived from them.

    Args:
        workspace: settings and the sources of tasks.
        data: database, builds, links, working directories and the files of live runs.
        logs: logs of services and tasks.
        runtime: sockets and engine information, on a tmpfs if available. The engine may have to use another folder;
            `keiji.engine_process.locate` returns the paths of a running engine.
    """

    workspace: Path
    data: Path
    logs: Path
    runtime: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """Return the paths that ``KEIJI_ROOT`` and ``KEIJI_WORKSPACE`` name, or the defaults of the platform.

        Raises:
            KeijiError: a path is not valid UTF-8, or the home folder is unknown.
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

        default = _resolve(home_folder() / "keiji")
        workspace = _resolve(Path(configured)) if configured else default
        data = _resolve(Path(platformdirs.user_data_dir("keiji", appauthor=False)))
        logs = _resolve(Path(platformdirs.user_log_dir("keiji", appauthor=False)))
        if workspace != default:
            folder = f"{workspace.name}-{_digest(workspace)}"
            data, logs = data / "workspaces" / folder, logs / "workspaces" / folder
        return cls(workspace, data, logs, default_runtime_folder(data))

    @classmethod
    def under(cls, root: Path, workspace: Path | None = None) -> Paths:
        """Return paths that are all under ``root``, except ``workspace`` if it is given."""
        root = _resolve(root)
        workspace = _resolve(workspace) if workspace else _resolve(root / "workspace")
        runtime = root / "run"
        if not _has_room_for_sockets(runtime):
            runtime = default_runtime_folder(root)
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
    def workspace_lock(self) -> Path:
        """Locked exclusively by an engine of this workspace, whichever data folder it uses."""
        return self.workspace / ".engine.lock"

    @property
    def command_lock(self) -> Path:
        """Locked exclusively by a command that works without an engine."""
        return self.data / "command.lock"

    @property
    def installation_id(self) -> Path:
        """Identifies the installation as the owner of a database."""
        return self.data / "installation.id"

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
        """The files of live runs. Not in the runtime folder, which others may empty."""
        return self.data / "run" / "runs"

    @property
    def launcher_lock(self) -> Path:
        """Locked by the launcher, and by the shims that are starting."""
        return self.data / "launcher.lock"

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

    def has_same_state(self, other: Paths) -> bool:
        """Return whether two paths differ at most in the runtime folder."""
        return replace(self, runtime=other.runtime) == other

    def create_folders(self) -> None:
        """Create the folders of the engine's state, accessible to this user only.

        Raises:
            KeijiError: a folder cannot be created, or belongs to another user.
        """
        self.check_owner()
        if self.runtime.is_relative_to(self.data):
            private.create_folder(self.runtime)
            _require_own_folder(self.runtime)
        folders = (self.data, self.runs, self.database.parent, self.builds, self.links, self.work)
        for folder in (*folders, self.logs, self.logs / "services", self.logs / "tasks"):
            private.create_folder(folder)

    def with_runtime_folder(self, last: Path | None = None) -> Paths:
        """Return the paths with a runtime folder that exists and that no other user can access.

        In a folder that all users share, another user may have taken the name. Then another name is used.

        Args:
            last: the runtime folder of the last engine, to be used again in that case.

        Raises:
            KeijiError: the folder cannot be created, or it is in the data folder and belongs to another user.
        """
        if self.runtime.is_relative_to(self.data):
            private.create_folder(self.runtime)
            _require_own_folder(self.runtime)
            return self
        for folder in self._runtime_candidates(last):
            with contextlib.suppress(OSError):
                folder.mkdir(mode=0o700, exist_ok=True)
                if _is_own_folder(folder):
                    folder.chmod(0o700)
                    return replace(self, runtime=folder)
        raise KeijiError(
            f"cannot create {self.runtime}", hint="set KEIJI_ROOT to a folder that you can write to, with a short path"
        )

    def _runtime_candidates(self, last: Path | None) -> Iterator[Path]:
        yield self.runtime
        if last is not None and last.name.startswith(f"{self.runtime.name}-"):
            yield last
        for base in dict.fromkeys((self.runtime.parent, Path(tempfile.gettempdir()), Path("/tmp"))):
            folder = base / f"{self.runtime.name}-{secrets.token_hex(4)}"
            if _has_room_for_sockets(folder):
                yield folder

    def check_owner(self) -> None:
        """Refuse to use the state of another user, and to leave files of root in the home of another user.

        Raises:
            KeijiError: the error names the other user.
        """
        for path in (self.engine_lock, self.command_lock, self.database):
            owner = _owner(path)
            if owner is not None and owner != os.geteuid():
                name = private.user_name(owner)
                hint = f"run keiji as that user, or set KEIJI_ROOT to another folder (you are {_own_name()})"
                raise KeijiError(f"{path} belongs to {name}", hint=hint)
        if os.geteuid() == 0 and self.logs != self.data / "logs":  # without KEIJI_ROOT
            home = home_folder()
            owner = _owner(home)
            if owner:
                name = private.user_name(owner)
                raise KeijiError(
                    f"you are root, but your home folder {home} belongs to {name}",
                    hint=f"run keiji as {name}, or with root's own home folder (sudo -H), or set KEIJI_ROOT",
                )

    def restrict(self) -> None:
        """Remove the permissions of other users from the files that an earlier engine or a user left open."""
        files = (self.settings, self.engine_lock, self.command_lock, self.workspace_lock, *self.tasks.glob("*/.env"))
        for file in files:
            private.restrict(file)
        private.restrict_tree(self.database.parent)
        private.restrict_tree(self.logs)


def home_folder() -> Path:
    """Return the home folder of this user.

    Raises:
        KeijiError: it is unknown, for example in a container that runs as an arbitrary uid.
    """
    home = os.environ.get("HOME")
    if home is None:
        import pwd  # deferred: rarely needed

        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError as error:
            raise KeijiError(
                f"your home folder is unknown: HOME is not set, and uid {os.getuid()} has no entry in /etc/passwd",
                hint="set HOME to your home folder, or KEIJI_ROOT to a folder for everything",
            ) from error
    if not Path(home).is_absolute():
        raise KeijiError(
            f"HOME is not an absolute path: {home!r}",
            hint="set HOME to your home folder, or KEIJI_ROOT to a folder for everything",
        )
    return Path(home)


def _resolve(path: Path) -> Path:
    """Return an absolute path without symbolic links, and with the home folder for ``~``."""
    if str(path) == "~" or str(path).startswith("~/"):
        path = home_folder() / str(path)[2:]
    return Path(os.path.realpath(path))


def _owner(path: Path) -> int | None:
    """Return the uid of the owner; None if the file does not exist or cannot be examined."""
    try:
        return path.stat().st_uid
    except OSError:
        return None


def _own_name() -> str:
    return private.user_name(os.geteuid())


def _is_own_folder(folder: Path) -> bool:
    status = os.lstat(folder)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _require_own_folder(folder: Path) -> None:
    if not _is_own_folder(folder):
        raise KeijiError(
            f"{folder} is not a folder that you own", hint="remove it, or set KEIJI_ROOT to another folder"
        )


def _require_utf8(path: Path) -> None:
    # Paths are stored in the database, sent over the bus and written to scripts, all of which are UTF-8.
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise KeijiError(
            f"the path {os.fsencode(path)!r} is not valid UTF-8",
            hint="set KEIJI_ROOT and KEIJI_WORKSPACE to folders whose names are",
        ) from error


def _has_room_for_sockets(folder: Path) -> bool:
    return len(os.fsencode(folder)) + _MAX_SOCKET_NAME_BYTES <= MAX_SOCKET_PATH_BYTES


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def default_runtime_folder(data: Path) -> Path:
    """Return the runtime folder of an engine with this data folder, in a folder that all users share."""
    # XDG_RUNTIME_DIR is removed when the user logs out. So may be the user's files in /dev/shm, but an engine that
    # keeps running creates them again.
    shared = Path("/dev/shm")
    bases = (shared, Path(tempfile.gettempdir()), Path("/tmp"))
    name = f"keiji-{os.geteuid()}-{_digest(data)}"
    usable = (base for base in bases if os.access(base, os.W_OK | os.X_OK) and _has_room_for_sockets(base / name))
    return next(usable, Path("/tmp")) / name
