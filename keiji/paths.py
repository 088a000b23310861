"""Where everything lies, derived from one root.

With ``KEIJI_ROOT`` set, everything is under it. Otherwise the workspace is ``~/keiji`` (or ``KEIJI_WORKSPACE``) and the
rest is in the platform's places for data, logs and runtime files. A workspace elsewhere gets state of its own.
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

# A Unix socket's path holds 107 bytes and a NUL on Linux, 103 on macOS.
LONGEST_SOCKET_PATH = 103
_LONGEST_SOCKET_NAME = len("/control.sock")


@dataclass(frozen=True, slots=True)
class Paths:
    """Every path that keiji uses.

    Args:
        workspace: where people write tasks.
        data: database, builds, environments, links.
        logs: logs of services and tasks.
        runtime: sockets, pid and live runs; a tmpfs where there is one; outlives a logout.
    """

    workspace: Path
    data: Path
    logs: Path
    runtime: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """Read ``KEIJI_ROOT`` and ``KEIJI_WORKSPACE``, and take the platform's places where they are not set."""
        asked = environ.get("KEIJI_WORKSPACE")
        if environ.get("KEIJI_ROOT"):
            return cls.under(Path(environ["KEIJI_ROOT"]), Path(asked) if asked else None)

        import platformdirs  # not needed under KEIJI_ROOT, and 15 ms

        usual = Path.home() / "keiji"
        workspace = Path(os.path.abspath(Path(asked).expanduser())) if asked else usual
        data = Path(platformdirs.user_data_dir("keiji", appauthor=False))
        logs = Path(platformdirs.user_log_dir("keiji", appauthor=False))
        if workspace != usual:
            own = f"{workspace.name}-{_digest(workspace)}"
            data, logs = data / "workspaces" / own, logs / "workspaces" / own
        return cls(workspace, data, logs, _runtime_for(data))

    @classmethod
    def under(cls, root: Path, workspace: Path | None = None) -> Paths:
        """Return the paths of an installation that lies in ``root`` alone."""
        root = Path(os.path.abspath(root.expanduser()))
        workspace = Path(os.path.abspath(workspace.expanduser())) if workspace else root / "workspace"
        runtime = root / "run"
        if len(os.fsencode(runtime)) + _LONGEST_SOCKET_NAME > LONGEST_SOCKET_PATH:
            runtime = _runtime_for(root)
        return cls(workspace, root, root / "logs", runtime)

    @property
    def settings(self) -> Path:
        return self.workspace / "settings.conf"

    @property
    def tasks(self) -> Path:
        return self.workspace / "tasks"

    @property
    def lock(self) -> Path:
        return self.data / "engine.lock"

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
    def engine(self) -> Path:
        """The engine's word about itself: pid, boot, version, services."""
        return self.runtime / "engine.json"

    @property
    def control(self) -> Path:
        return self.runtime / "control.sock"

    @property
    def state(self) -> Path:
        return self.runtime / "state.sock"

    @property
    def log(self) -> Path:
        return self.runtime / "log.sock"

    def source(self, slug: str) -> Path:
        """Return the folder that holds the sources of a task."""
        return self.tasks / slug

    def link(self, slug: str) -> Path:
        """Return the link to the active build of a task, which can be run by hand."""
        return self.links / slug

    def task_log(self, slug: str) -> Path:
        """Return the log of a task."""
        return self.logs / "tasks" / slug / f"{slug}.log"

    def service_log(self, service: str) -> Path:
        """Return the log of a service."""
        return self.logs / "services" / service / f"{service}.log"

    def make(self) -> None:
        """Create the folders of the engine's state, those that hold anything private with mode 0700.

        Raises:
            KeijiError: a folder cannot be made, or the runtime folder belongs to somebody else.
        """
        for folder in (self.data, self.runtime):
            _make(folder)
        found = os.lstat(self.runtime)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise KeijiError(f"{self.runtime} does not belong to you", hint="remove it, or set KEIJI_ROOT elsewhere")
        os.chmod(self.runtime, 0o700)
        for folder in (self.runs, self.database.parent, self.builds, self.links, self.work, self.logs):
            _make(folder)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        hint = "KEIJI_ROOT names another place for everything"
        raise KeijiError(f"{folder} cannot be made: {error.strerror}", hint=hint) from error


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _runtime_for(data: Path) -> Path:
    # XDG_RUNTIME_DIR is emptied when its user logs out, which would take the files of live runs with it.
    shared = Path("/dev/shm")  # a folder of ours in it, 0700, whose owner make() checks
    base = shared if os.access(shared, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    return base / f"keiji-{os.getuid()}-{_digest(data)}"
