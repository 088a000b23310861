"""Builds: a task folder is validated and becomes an immutable copy, ready to run."""

from keiji_engine.builds.builder import build, load
from keiji_engine.builds.collect import collect, remove
from keiji_engine.builds.environment import child_environment, read_env
from keiji_engine.builds.snapshot import changed_paths, hash_sources
from keiji_engine.builds.switch import activate
from keiji_engine.builds.template import create
from keiji_engine.builds.validate import check_syntax

__all__ = [
    "activate",
    "build",
    "changed_paths",
    "check_syntax",
    "child_environment",
    "collect",
    "create",
    "hash_sources",
    "load",
    "read_env",
    "remove",
]
