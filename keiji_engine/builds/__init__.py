"""Builds: a task folder is validated and becomes an immutable copy, ready to run."""

from keiji_engine.builds.build_store import mark_used
from keiji_engine.builds.builder import build_task, check_task, command_of, load_build
from keiji_engine.builds.collect import collect_garbage, collect_unheld, hold_builds
from keiji_engine.builds.environment import child_environment, read_env
from keiji_engine.builds.snapshot import changed_paths, hash_sources
from keiji_engine.builds.switch import activate
from keiji_engine.builds.task_file import read_details, read_task_file
from keiji_engine.builds.template import create_task_folder
from keiji_engine.builds.validate import check_syntax

__all__ = [
    "activate",
    "build_task",
    "changed_paths",
    "check_syntax",
    "check_task",
    "child_environment",
    "collect_garbage",
    "collect_unheld",
    "command_of",
    "create_task_folder",
    "hash_sources",
    "hold_builds",
    "load_build",
    "mark_used",
    "read_details",
    "read_env",
    "read_task_file",
]
