"""``keiji``: the command line. How it ends, whatever happens, is decided here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from keiji import __version__
from keiji.errors import KeijiError, UsageError
from keiji_cli.arguments import normalize_argv
from keiji_cli.groups import Lazy, Place

DONE, FAILED, WRONG_USAGE = 0, 1, 2
INTERRUPTED = 130  # as shells count a process that SIGINT ended


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"keiji {__version__}")
        ctx.exit()


keiji = Lazy(
    name="keiji",
    help="""A control center for scheduled work.

    Write a Python function, say when it runs, build it: an engine in the background runs it on time.

    A verb may be written either way: keiji task build NAME, or keiji task --build --name=NAME.
    """,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the engine is offline, 4 no such task or run, "
    "130 ended by Ctrl-C.",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Show the version and exit.",
            callback=_version,
        )
    ],
    places={
        "init": Place("keiji_cli.init", "init", "Make a workspace, and the folders that keiji keeps its state in."),
        "task": Place("keiji_cli.task", "task", "Create, build, see and steer tasks."),
        "system": Place("keiji_cli.system", "system", "Start, stop and look after the engine and its services."),
        "demo": Place("keiji_cli.demo", "demo", "Watch a throw-away system with six tasks at work."),
    },
)


def run(arguments: Sequence[str]) -> int:
    """Carry out one command and return the exit code. Errors go to standard error: what happened, then what to do."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that this terminal cannot show is no reason to die
    try:
        code = keiji.main(normalize_argv(arguments), prog_name="keiji", standalone_mode=False)
    except KeijiError as error:
        return _failed(error)
    except click.ClickException as error:
        return _misused(error)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except OSError as error:
        return _failed(KeijiError(str(error)))
    return code if isinstance(code, int) else DONE


def _failed(error: KeijiError) -> int:
    click.echo(error.message, err=True)
    if error.hint:
        click.echo(error.hint, err=True)
    return error.exit_code


def _misused(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return WRONG_USAGE
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "keiji"
    return _failed(UsageError(error.format_message(), hint=f"{path} --help says what there is"))


def main() -> NoReturn:
    """Enter here from the shell."""
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # whoever was reading has gone
            code = code or FAILED
    # Everything is closed by now, and the tidy end of an interpreter takes as long as a command does.
    os._exit(code)


if __name__ == "__main__":
    main()
