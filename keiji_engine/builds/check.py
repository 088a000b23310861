"""Validating tasks without an engine, a database or a build: for continuous integration."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from keiji import names
from keiji.errors import KeijiError
from keiji_engine.builds.builder import check_task
from keiji_engine.builds.task_file import read_details

MAX_PARALLEL = max(2, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Checked:
    """The result for one folder; ``error`` is "" if a build would succeed. It may have several lines."""

    folder: str
    error: str = ""


async def check_folders(
    tasks: Path, folders: Iterable[str], *, now: datetime, zone: str, env: Mapping[str, str]
) -> AsyncIterator[Checked]:
    """Validate the folders of tasks, several at a time; yield the results in the order of ``folders``.

    Args:
        env: the environment variables of all tasks in the workspace.
    """
    slots = asyncio.Semaphore(MAX_PARALLEL)

    async def check(folder: str) -> Checked:
        async with slots:
            try:
                await _check(tasks / folder, now=now, zone=zone, env=env)
            except KeijiError as error:
                return Checked(folder, str(error))
            return Checked(folder)

    pending = [asyncio.ensure_future(check(folder)) for folder in folders]
    try:
        for each in pending:
            yield await each
    finally:
        for each in pending:
            each.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _check(source: Path, *, now: datetime, zone: str, env: Mapping[str, str]) -> None:
    slug = names.slug_of(source.name)
    if slug != source.name:
        hint = f"rename the folder to {slug}" if slug else "rename the folder"
        raise KeijiError(f"the folder {source.name!r} has no valid name for a task", hint=hint)
    details = await asyncio.to_thread(read_details, source)
    names.validate(details.name or source.name)
    await check_task(source, python=sys.executable, now=now, zone=zone, defaults=env)


def shared_names(tasks: Path, folders: Iterable[str]) -> dict[str, str]:
    """Return folder → error for each of ``folders`` whose task has the same name as that of an earlier one.

    Folders that have other errors, which `check_folders` reports, are left out.
    """
    owners: dict[str, str] = {}
    errors = {}
    for folder in folders:
        if names.slug_of(folder) != folder:
            continue
        try:
            name = read_details(tasks / folder).name or folder
        except KeijiError:
            continue
        owner = owners.setdefault(name, folder)
        if owner != folder:
            errors[folder] = f"the name {name!r} is that of the task in tasks/{owner}: choose another name"
    return errors
