"""``keiji task builds``, ``diff``, ``rollback``, ``pin`` and ``unpin``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from keiji.errors import UsageError
from keiji.formats import format_moment, zone_of
from keiji_cli import client, json_output, output
from keiji_cli.table import Column, Width, format_table, output_width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from keiji.records import FileDifference
    from keiji_engine.bus.protocol import Difference
    from keiji_engine.bus.views import BuildView

_COLUMNS = (
    Column("BUILD"), Column("STATE"), Column("ACTIVATED"), Column("BY", rank=2), Column("BUILT", rank=4),
    Column("RUNS", rank=3), Column("SIZE", rank=1), Column("FILES", rank=5),
)  # fmt: skip


def _require_text(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuse an empty argument, which would mean another build than the one that a script has failed to name."""
    is_given = parameter.name and context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT
    if is_given and not value:
        raise UsageError("BUILD is empty", hint="leave it out, or name a build: keiji task builds lists them")
    return value


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of objects.")
def builds(name: str, *, as_json: bool) -> None:
    """List the builds of a task, the latest first."""
    from keiji_engine.bus.protocol import GetBuilds

    paths = client.require_workspace()
    zone = client.display_zone(paths)
    reply = client.ask(paths, GetBuilds(task=name))
    if as_json:
        click.echo(json_output.format_builds(reply.builds, zone))
    elif reply.builds:
        click.echo(format_builds_table(reply.builds, zone_of(reply.zone, zone), output_width()))
    else:
        click.echo(f"{reply.task} has no build yet\nkeiji task build {reply.task} builds it", err=True)


def format_builds_table(builds: Sequence[BuildView], zone: tzinfo, width: Width) -> str:
    """Return a table with one row per build, and their total size."""
    rows = [
        (
            build.hash,
            _state(build),
            format_moment(build.activated_at, zone),
            build.activated_by,
            format_moment(build.created_at, zone),
            str(build.runs) if build.runs else "",
            "" if build.is_missing else output.format_size(build.size),
            str(build.files),
        )
        for build in builds
    ]
    total = output.format_size(sum(build.size for build in builds))
    count = "1 build" if len(builds) == 1 else f"{len(builds)} builds"
    return f"{format_table(_COLUMNS, rows, width)}\n{count}, {total}"


def _state(build: BuildView) -> str:
    states = {"active": build.is_active, "pinned": build.is_pinned, "missing": build.is_missing}
    return ", ".join(state for state, applies in states.items() if applies)


@click.command()
@click.argument("name")
@click.argument("before", metavar="[A]", required=False, default="")
@click.argument("after", metavar="[B]", required=False, default="")
def diff(name: str, before: str, after: str) -> None:
    """Compare the sources with a build, or two builds.

    Without A and B, the sources are compared with the active build; with A alone, with build A. The output is a
    unified diff. A build may be shortened to the beginning of its hash.
    """
    from keiji_engine.bus.protocol import GetDifference

    reply = client.ask(client.require_workspace(), GetDifference(task=name, before=before, after=after))
    for line in _diff_lines(reply):
        click.echo(line)
    after_text = f"build {reply.after}" if reply.after else "the sources"
    if not reply.files:
        click.echo(f"no difference between build {reply.build} and {after_text}", err=True)
    if reply.note:
        click.echo(reply.note, err=True)


def _diff_lines(difference: Difference) -> Iterator[str]:
    for each in difference.files:
        yield from _file_lines(each, difference.build, difference.after or "sources")


def _file_lines(difference: FileDifference, before: str, after: str) -> Iterator[str]:
    path = difference.path
    if difference.lines:
        yield click.style(f"--- {before}/{path}" if difference.change != "added" else "--- /dev/null", bold=True)
        yield click.style(f"+++ {after}/{path}" if difference.change != "removed" else "+++ /dev/null", bold=True)
        yield from map(_styled, difference.lines)
    if difference.note or not difference.lines:
        note = f": {difference.note}" if difference.note else ""
        yield f"# {path} {difference.change if difference.change != 'mode' else 'has another mode'}{note}"


def _styled(line: str) -> str:
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=colour) if colour else line


@click.command()
@click.argument("name")
@click.argument("build_hash", metavar="[BUILD]", required=False, default="", callback=_require_text)
def rollback(name: str, build_hash: str) -> None:
    """Activate an earlier build of a task.

    It is BUILD, or the build that was active before the current one. The files of the build are verified first. The
    sources stay as they are.
    """
    from keiji_engine.bus.protocol import RollBack

    output.print_progress(*client.execute(client.require_workspace(), RollBack(task=name, build=build_hash)))


@click.command()
@click.argument("name")
@click.argument("build_hash", metavar="[BUILD]", required=False, default="", callback=_require_text)
def pin(name: str, build_hash: str) -> None:
    """Pin a build: it is kept, and not replaced.

    It is BUILD, or the active build. A pinned build is kept on disk. While it is active, no build or rollback replaces
    it.
    """
    from keiji_engine.bus.protocol import PinBuild

    output.print_progress(*client.execute(client.require_workspace(), PinBuild(task=name, build=build_hash)))


@click.command()
@click.argument("name")
@click.argument("build_hash", metavar="[BUILD]", required=False, default="", callback=_require_text)
def unpin(name: str, build_hash: str) -> None:
    """Unpin a build of a task: BUILD, or the active one."""
    from keiji_engine.bus.protocol import UnpinBuild

    output.print_progress(*client.execute(client.require_workspace(), UnpinBuild(task=name, build=build_hash)))
