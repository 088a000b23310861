"""Builds: how a task folder becomes something immutable to run."""

from keiji_engine.builds.build_store import collect, link, remove
from keiji_engine.builds.builder import build, load
from keiji_engine.builds.environment import child_environment, read_env
from keiji_engine.builds.snapshot import changed, fingerprint
from keiji_engine.builds.template import create
from keiji_engine.builds.validate import check_syntax

__all__ = [
    "build",
    "changed",
    "check_syntax",
    "child_environment",
    "collect",
    "create",
    "fingerprint",
    "link",
    "load",
    "read_env",
    "remove",
]
