"""``keiji import crontab``: create tasks for the jobs of a crontab. The crontab itself is never changed."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shlex
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from keiji.errors import KeijiError, UsageError
from keiji_cli import client
from keiji_cli.groups import Command, OptionSpellingGroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from keiji.crontab.plan import Planned, PlannedTask
    from keiji.paths import Paths

_INSTANTS = 5
_SYSTEM = Path("/etc/crontab")
_SYSTEM_FOLDER = Path("/etc/cron.d")
_MAX_BYTES = 4 * 1024 * 1024
_UNFINISHED = ("importing",)  # the only tag of a task whose task.toml is not complete yet


@click.group(name="import", cls=OptionSpellingGroup)
def import_tasks() -> None:
    """Create tasks from a crontab."""


@dataclass(frozen=True, slots=True)
class _Crontab:
    """A crontab that was read.

    Args:
        path: None for the crontab of a user, which the command ``crontab`` reads, and for the standard input.
        owner: the user whose crontab it is.
    """

    title: str
    content: bytes
    owner: str
    path: Path | None = None
    is_standard_input: bool = False


@import_tasks.command(cls=Command)
@click.argument("file", required=False)
@click.option("--user", metavar="NAME", help="Import the crontab of this user; by default your own.")
@click.option("--system/--no-system", default=None, help="Whether lines have a user column, as in /etc/cron.d.")
@click.option("--dry-run", is_flag=True, help="Show what each line becomes, but create nothing.")
def crontab(file: str | None, user: str | None, *, system: bool | None, dry_run: bool) -> None:
    """Create a task for each job of a crontab: yours, that of FILE, or that of the standard input (-).

    For each line, it prints the task that it becomes, its next instants and hints. The tasks do not run until you build
    them. The crontab is not changed. Importing it again creates tasks for new lines only.
    """
    from keiji.crontab.plan import PlannedTask, Source, count_tasks, plan_import
    from keiji.crontab.read import Job, read_crontab
    from keiji.local_zone import find_local_zone

    if file is not None and user is not None:
        raise UsageError("FILE and --user exclude each other")
    paths = client.current_paths() if dry_run else client.require_workspace()
    own = pwd.getpwuid(os.getuid()).pw_name
    found = _read_file(file, own) if file is not None else _read_of_user(user or own, own)
    is_system = _is_system(found, system)
    has_workspace = paths.settings.exists()
    zone = find_local_zone().name
    workspace_zone = client.load_settings(paths).zone.key if has_workspace else zone
    lines = read_crontab(found.content, is_system=is_system)
    known, begun = _tasks_by_slug(paths)
    commands = {line.command for line in lines if isinstance(line, Job)}
    unfinished = {slug for slug, command in begun.items() if command in commands}
    planned = plan_import(
        lines,
        Source("" if is_system else found.owner, own, zone, workspace_zone),
        imported={slug: marker for slug, marker in known.items() if marker},
        taken=[slug for slug in known if slug not in unfinished],
    )
    counts = count_tasks(planned)
    if not counts:
        click.echo(f"{found.title} has no jobs", err=True)
        return
    click.echo(f"{found.title}:")
    created: list[PlannedTask] = []
    failed: list[PlannedTask] = []
    now = datetime.now(UTC)
    for each in planned:
        click.echo()
        for line in _describe(each, workspace_zone, now):
            click.echo(line)
        if isinstance(each, PlannedTask) and not each.existing and not dry_run:
            try:
                _create(paths, each, is_begun=each.name in unfinished)
                created.append(each)
            except KeijiError as error:
                failed.append(each)
                click.echo(f"    not created: {error}")
    click.echo()
    counts["new"] -= len(failed)
    click.echo(_summary(counts, dry_run=dry_run))
    tasks = [each for each in planned if isinstance(each, PlannedTask) and each not in failed]
    _print_next_steps(found, tasks, created, _active(paths) if has_workspace else frozenset())
    if counts["wrong"] or failed:
        number = counts["wrong"] + len(failed)
        raise KeijiError(f"{_count(number, 'line')} could not be imported; the others are not affected")


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_file(file: str, owner: str) -> _Crontab:
    if file == "-":
        content = _limited(sys.stdin.buffer.read(_MAX_BYTES + 1))
        return _Crontab("the standard input", content, owner, is_standard_input=True)
    path = Path(file).expanduser().absolute()
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    return _Crontab(str(path), _limited(content), owner, path)


def _limited(content: bytes) -> bytes:
    if len(content) > _MAX_BYTES:
        raise UsageError(f"the crontab has more than {_MAX_BYTES:,} bytes")
    return content


def _read_of_user(user: str, own: str) -> _Crontab:
    """Return the crontab of a user as ``crontab -l`` prints it. Raises KeijiError."""
    command = ["crontab", "-l"] if user == own else ["crontab", "-u", user, "-l"]
    try:
        finished = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        hint = "keiji import crontab FILE reads a file instead"
        raise KeijiError(f"the command crontab cannot be executed: {error.strerror or error}", hint=hint) from error
    if finished.returncode:
        reason = finished.stderr.decode(errors="replace").strip() or f"exit code {finished.returncode}"
        raise KeijiError(f"{shlex.join(command)} failed: {reason}")
    return _Crontab(f"the crontab of {user}", finished.stdout, user)


def _is_system(found: _Crontab, choice: bool | None) -> bool:
    """Return whether the lines have a user column; ask if they look so and nothing else says it."""
    from keiji.crontab.read import looks_like_system_crontab, read_crontab

    if choice is not None:
        return choice
    if found.path is None and not found.is_standard_input:
        return False
    if found.path is not None and (found.path == _SYSTEM or found.path.parent == _SYSTEM_FOLDER):
        return True
    users = [each.pw_name for each in pwd.getpwall()]
    if not looks_like_system_crontab(read_crontab(found.content), users):
        return False
    if found.path is not None and sys.stdin.isatty():
        return click.confirm("Each command begins with the name of a user. Is that a user column?", err=True)
    raise UsageError(
        f"each command in {found.title} begins with the name of a user",
        hint="add --system if that is a user column as in /etc/cron.d, otherwise --no-system",
    )


def _tasks_by_slug(paths: Paths) -> tuple[dict[str, str], dict[str, str]]:
    """Return the marker of each folder below ``tasks/`` ("" if it has none), and the commands of unfinished imports."""
    from keiji.crontab.plan import MARKER
    from keiji_engine.builds import read_task_file

    markers: dict[str, str] = {}
    unfinished: dict[str, str] = {}
    for folder in sorted(paths.tasks.iterdir()) if paths.tasks.is_dir() else ():
        markers[folder.name] = ""
        with suppress(OSError, ValueError, KeijiError):
            first = (folder / "task.toml").read_text(encoding="utf-8").partition("\n")[0]
            if first.startswith(MARKER):
                markers[folder.name] = first
                continue
            task_file = read_task_file(folder)
            if task_file is not None and task_file.tags == _UNFINISHED and task_file.argv and not task_file.schedule:
                unfinished[folder.name] = task_file.argv[-1]
    if paths.settings.exists():  # tasks whose sources were deleted keep their names
        for task in client.get_tasks(paths):
            markers.setdefault(task.slug, "")
    return markers, unfinished


def _active(paths: Paths) -> frozenset[str]:
    """Return the slugs of the tasks that run on their schedule."""
    return frozenset(task.slug for task in client.get_tasks(paths) if task.build and not task.is_disabled)


# ── creating ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _create(paths: Paths, planned: PlannedTask, *, is_begun: bool) -> None:
    """Create a task.

    The task that the engine creates is manual and tagged as unfinished until its task.toml is replaced with the
    complete one. If the import is killed in between, the next one continues with it.
    """
    from keiji_engine.builds.task_file import parse_task_file
    from keiji_engine.bus.protocol import Create

    text = format_imported(planned)
    parse_task_file(text)  # raises InvalidTaskFile
    client.execute(
        paths,
        Create(
            name=planned.name,
            description=planned.description,
            shell=planned.job.command,
            tags=_UNFINISHED,
            force=is_begun,
        ),
    )
    target = paths.source(planned.name) / "task.toml"
    temporary = target.with_name(f".{secrets.token_hex(8)}")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        raise KeijiError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def format_imported(planned: PlannedTask) -> str:
    """Return the task.toml of an imported task; its first line is the crontab line."""
    from keiji.crontab.plan import TAGS
    from keiji_engine.builds.task_file import format_task_file

    text = format_task_file(
        name=planned.name,
        description=planned.description,
        tags=TAGS,
        shell=planned.job.command,
        schedule=planned.job.schedule,
        cwd=planned.cwd,
    )
    lines = [planned.marker, text.rstrip("\n")]
    if planned.shell_program:
        lines.append(f"shell_program = {_toml_text(planned.shell_program)}")
    if planned.job.stdin:
        lines.append(f"stdin = {_toml_text(planned.job.stdin)}")
    lines += ["", "[env]", *(f"{name} = {_toml_text(value)}" for name, value in planned.environment.items())]
    policy = {"tz": planned.zone, "jitter": f"{planned.jitter}m" if planned.jitter else ""}
    if any(policy.values()):
        lines += ["", "[policy]", *(f"{key} = {_toml_text(value)}" for key, value in policy.items() if value)]
    return "\n".join(lines) + "\n"


def _toml_text(value: str) -> str:
    """Return a basic string of TOML, which has the escape sequences of JSON."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# ── output ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _describe(planned: Planned, zone: str, now: datetime) -> list[str]:
    from keiji.crontab.plan import AssignmentNote, NotImported

    if isinstance(planned, AssignmentNote):
        return [f"line {planned.number}: {planned.line}", *(f"    hint: {hint}" for hint in planned.hints)]
    if isinstance(planned, NotImported):
        verb = "wrong" if planned.is_wrong else "not imported"
        return [f"line {planned.number}: {planned.line}", f"    {verb}: {planned.reason}"]
    trigger = planned.trigger(zone)
    place = ZoneInfo(planned.zone or zone)
    verb = "already imported as" if planned.existing else "becomes"
    description = f" ({planned.description})" if planned.description else ""
    lines = [
        f"line {planned.job.number}: {planned.job.line}",
        f"    {verb} {planned.name}{description}: {trigger.describe()}",
    ]
    if trigger.has_instants:
        instants = [f"{each.astimezone(place):%a %Y-%m-%d %H:%M}" for each in islice(trigger.upcoming(now), _INSTANTS)]
        lines.append(f"    next, in {place.key}: {', '.join(instants) or 'never'}")
    else:
        lines.append("    next: after each start of the machine")
    if planned.existing:
        return lines
    return lines + [f"    hint: {hint}" for hint in planned.hints]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _summary(counts: dict[str, int], *, dry_run: bool) -> str:
    verb = "would be created" if dry_run else "created"
    parts = [f"{_count(counts['new'], 'task')} {verb}"]
    parts += [f"{counts['imported']} already imported"] if counts["imported"] else []
    parts += [f"{_count(counts['left'], 'line')} not imported"] if counts["left"] else []
    parts += [f"{_count(counts['wrong'], 'line')} wrong"] if counts["wrong"] else []
    return ", ".join(parts)


def _print_next_steps(
    found: _Crontab, tasks: Sequence[PlannedTask], created: Sequence[PlannedTask], active: frozenset[str]
) -> None:
    """Print how to hand the jobs over from cron to keiji, and warn about those that both run."""
    both = [each for each in tasks if each.name in active]
    if both:
        lines = ", ".join(str(each.job.number) for each in both)
        shown = ", ".join(each.name for each in both)
        where = f"line{'' if len(both) == 1 else 's'} {lines}"
        click.echo(f"warning: cron and keiji both run {shown}, as long as cron has {where}", err=True)
    if created:
        click.echo()
        click.echo("The crontab was not changed, and the new tasks do not run yet. Hand the jobs over in this order:")
    if created or both:
        numbers = [each.job.number for each in (tasks if created else both)]
        click.echo("comment the imported lines out, so that cron does not run them any more:")
        if found.is_standard_input:
            click.echo(f"    lines {', '.join(map(str, numbers))}, in the crontab that was read")
        else:
            click.echo(f"    {comment_out_command(found.path, found.owner, numbers)}")
    if created:
        names = " ".join(shlex.quote(each.name) for each in created)
        one, several = f"keiji task build {names}", f"for task in {names}; do keiji task build $task; done"
        click.echo("build the tasks, which starts their schedules:")
        click.echo(f"    {one if len(created) == 1 else several}")


def comment_out_command(path: Path | None, owner: str, numbers: Iterable[int]) -> str:
    """Return the shell command that comments out lines of a file, or of a user's crontab if ``path`` is None."""
    script = ";".join(f"{number}s/^/# /" for number in numbers)
    if path is None:
        option = "" if owner == pwd.getpwuid(os.getuid()).pw_name else f" -u {shlex.quote(owner)}"
        return f"crontab{option} -l | sed '{script}' | crontab{option} -"
    sudo = "" if os.access(path, os.W_OK) else "sudo "
    return f"{sudo}sed -i '{script}' {shlex.quote(str(path))}"
