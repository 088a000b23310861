"""Entry point of ``keiji``: the root command, error output and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from keiji import __version__
from keiji.errors import KeijiError, UsageError, unwritable_output
from keiji_cli.groups import CommandReference, LazyGroup

SUCCESS, FAILURE, WRONG_USAGE = 0, 1, 2
_STDOUT, _STDERR = 1, 2  # descriptors
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"keiji {__version__}")
        ctx.exit()


keiji = LazyGroup(
    name="keiji",
    help="""A control center for scheduled work.

    Write a Python function, give it a schedule and build it: an engine runs it on time in the background.

    Commands can be spelled as options: keiji task build NAME is the same as keiji task --build --name=NAME.
    The most common commands also work without task and system: keiji list, run, runs, logs and status.
    """,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 success, 1 failure, 2 usage error, 3 engine offline, 4 task or run not found, "
    "5 engine running but not reachable, or a service stopped, 130 interrupted by Ctrl-C.",
    params=[
        click.Option(
            ["-V", "--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help="Show the version and exit.",
            callback=_print_version,
        )
    ],
    references={
        "init": CommandReference("keiji_cli.init", "init", "Create a workspace and the folders for keiji's state."),
        "task": CommandReference("keiji_cli.task", "task", "Create, build, inspect and control tasks."),
        "system": CommandReference(
            "keiji_cli.system", "system", "Start, stop and inspect the engine and its services."
        ),
        "list": CommandReference("keiji_cli.task", "list_tasks", "List all tasks, one per line."),
        "apply": CommandReference("keiji_cli.apply", "apply", "Build all tasks that are new or changed."),
        "check": CommandReference(
            "keiji_cli.apply", "check", "Validate tasks as a build does, without changing anything."
        ),
        "run": CommandReference("keiji_cli.task", "run", "Run a task now, regardless of its schedule."),
        "runs": CommandReference("keiji_cli.task", "runs", "Show the history of a task, newest run first."),
        "logs": CommandReference(
            "keiji_cli.task", "show_logs", "Show the log of a task: output and results of its runs."
        ),
        "status": CommandReference("keiji_cli.system", "status", "Show the status of the services."),
        "when": CommandReference("keiji_cli.when", "when", "Describe a schedule and list its next instants."),
        "import": CommandReference("keiji_cli.crontab_import", "import_tasks", "Create tasks from a crontab."),
        "export": CommandReference("keiji_cli.crontab_export", "export_tasks", "Print the tasks as a crontab."),
        "db": CommandReference("keiji_cli.db", "db", "Manage the database."),
        "demo": CommandReference("keiji_cli.demo", "demo", "Run a temporary system with six example tasks."),
        "help": CommandReference("keiji_cli.help", "show_help", "Show the help of a command."),
    },
)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Errors go to standard error: the message, then a hint."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # the terminal's encoding may lack characters of a name
    try:
        code = keiji.main(list(arguments), prog_name="keiji", standalone_mode=False)
    except KeijiError as error:
        return _report(error)
    except click.ClickException as error:
        return _report_usage_error(error)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except OSError as error:
        return _report(unwritable_output(error) if _is_from_echo(error) else KeijiError(str(error)))
    return code if isinstance(code, int) else SUCCESS


def _report(error: KeijiError) -> int:
    click.echo(error.message, err=True)
    if error.hint:
        click.echo(error.hint, err=True)
    return error.exit_code


def _is_from_echo(error: OSError) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is click.echo.__code__ for frame, _ in frames)


def _report_usage_error(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return WRONG_USAGE
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "keiji"
    return _report(UsageError(error.format_message(), hint=f"{path} --help shows the usage"))


def _replace_closed_streams() -> None:
    """Discard what is written to a stream that the caller has closed, with a warning.

    Otherwise its descriptor would be given to the next file that is opened, such as the database.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(_STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the process exits
        click.echo("standard output is closed, so the output is lost: redirect it to a file or to /dev/null", err=True)
    if sys.stderr is None:
        sys.stderr = open(_STDERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def main() -> NoReturn:
    """Run ``keiji`` with the arguments of the process and exit."""
    _replace_closed_streams()
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:  # its reader wants no more
            code = code or FAILURE
        except OSError as error:
            code = code or _report(unwritable_output(error))
    # All files are closed by now. A regular interpreter shutdown takes as long as the command itself.
    os._exit(code)


if __name__ == "__main__":
    main()
