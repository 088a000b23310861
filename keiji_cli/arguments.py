"""Commands spelled as options: ``keiji task --build --name=ping`` is the same as ``keiji task build ping``.

Click parses the second form; this module converts the first one into it. Commands and their options are read from the
click commands themselves, so a new command or option needs no entry here.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import click

from keiji.errors import UsageError

_HELP = {"-h", "--help"}


@dataclass
class _SplitArguments:
    """Arguments by their role, each in the order in which they were typed.

    Attributes:
        commands: names of commands that are spelled as options.
        positionals: options that replace a positional argument, such as ``--name``, with their values.
        others: everything else, including options with their values.
        words: those of the others that are positional arguments.
        rest: what follows ``--``; None if there is no ``--``.
    """

    commands: list[str] = field(default_factory=list)
    positionals: list[tuple[str, str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    rest: list[str] | None = None


def normalize_argv(commands: Mapping[str, click.Command], arguments: Sequence[str], *, path: str) -> list[str]:
    """Return the arguments of a group in the form that click parses: command, options, "--", positional arguments.

    The words after "--" stay together and in order. A command that takes them as they are (a `RestCommand`) converts
    its positional argument itself: for it, there is nothing else after "--".

    Args:
        commands: the commands of the group, by name.
        arguments: the words after the name of the group.
        path: the group as it is typed, for messages: "keiji task".

    Raises:
        UsageError: there is no command or more than one, or the value of a positional argument is missing.
    """
    if not arguments:
        return []
    if not arguments[0].startswith("-"):
        name, rest = arguments[0], arguments[1:]
        command = commands.get(name)
        split = _split(rest, [] if command is None else [command], ())
    else:
        split = _split(arguments, commands.values(), commands)
        if not split.commands and not _HELP.isdisjoint(split.others):
            return ["--help"]
        if not split.commands and (late := next((word for word in split.others if word in commands), "")):
            rest = list(arguments)
            rest.remove(late)
            raise UsageError(f"{path} takes the command first", hint=f"{path} {shlex.join([late, *rest])}")
        name, flags = _select_command(commands, split, path)
        split.others += flags
    command = commands.get(name)
    after = [] if split.rest is None else ["--", *split.rest]
    if command is not None and getattr(command, "takes_rest", False):
        return [name, *split.others, *(f"{option}={value}" for option, value in split.positionals), *after]
    if not split.positionals:
        return [name, *split.others, *after]
    # After "--", click takes a name with a leading dash as a name; validation then rejects it with a reason.
    return [name, *_options_and_positionals(command, split), *(split.rest or ())]


def _options_and_positionals(command: click.Command | None, split: _SplitArguments) -> list[str]:
    """Return the arguments of a command, with its positional arguments in the order in which it declares them."""
    arguments = [p for p in command.params if isinstance(p, click.Argument)] if command is not None else []
    if len(arguments) < 2:
        return [*split.others, "--", *(value for _, value in split.positionals)]
    others, words = list(split.others), list(split.words)
    for word in words:
        others.remove(word)
    named = dict(split.positionals)
    ordered = [named.pop(f"--{each.name}", None) or (words.pop(0) if words else None) for each in arguments]
    return [*others, "--", *(value for value in ordered if value is not None), *words]


def split_rest(command: click.Command, words: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """Return the words before "--", with positional arguments that are spelled as options, and those after it.

    The latter are None if there is no "--". Raises UsageError as `normalize_argv` does.
    """
    split = _split(words, [command], ())
    own = [*split.others, *(["--", *(value for _, value in split.positionals)] if split.positionals else [])]
    return own, None if split.rest is None else tuple(split.rest)


def require_utf8(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``words``. Raises UsageError for one that cannot be sent, since it is not valid UTF-8."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{word!r} is not valid UTF-8") from error
    return words


def parse_assignments(words: tuple[str, ...], what: str, example: str) -> dict[str, str]:
    """Return NAME=VALUE words as a mapping. Raises UsageError; ``what`` they are is part of its message."""
    values: dict[str, str] = {}
    for word in require_utf8(words):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(f"{word!r} is not {what}", hint=f"expected NAME=VALUE, for example {example}")
        if name in values:
            raise UsageError(f"{name} is given twice")
        values[name] = value
    return values


def suggest(unknown: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return a hint with the closest match in ``known``, or with all of them if none is close.

    Args:
        cutoff: minimum similarity of a match, from 0 to 1 (equal).
    """
    import difflib  # only needed after a typing error; the import takes 3 ms

    known = list(known)
    matches = difflib.get_close_matches(unknown.casefold(), known, n=1, cutoff=cutoff)
    return f"did you mean {matches[0]!r}?" if matches else f"one of {', '.join(known)}"


def _split(words: Sequence[str], commands: Iterable[click.Command], names: Iterable[str]) -> _SplitArguments:
    """Split ``words`` by role.

    Args:
        commands: the commands whose parameters may occur.
        names: names of the commands that may be spelled as options.
    """
    commands = list(commands)
    parameters = [parameter for command in commands for parameter in command.params]
    positionals = {f"--{p.name}" for p in parameters if isinstance(p, click.Argument) and p.nargs == 1}
    value_counts = _value_counts(parameters)
    command_flags = {f"--{name}": name for name in names}
    for option in value_counts.keys() & command_flags.keys():
        # ``--stop`` is a command, but an option with a value if there is ``--backfill``.
        owners = [command for command in commands if any(option in p.opts for p in command.params)]
        if not any(f"--{owner.name}" in words for owner in owners):
            del value_counts[option]
    split = _SplitArguments()
    remaining = iter(words)
    for word in remaining:
        option, equals, value = word.partition("=")
        if option in positionals:
            argument = value if equals else next(remaining, None)
            if argument is None:
                raise UsageError(f"{option} requires a value", hint=f"for example {option}=ping_google")
            split.positionals.append((option, argument))
        elif word in value_counts:
            # The next words are values even if they look like options or commands.
            split.others += [word, *islice(remaining, value_counts[word])]
        elif word == "--":
            split.rest = list(remaining)
        elif word in command_flags:
            split.commands.append(command_flags[word])
        else:
            split.others.append(word)
            split.words += [word] if not word.startswith("-") else []
    return split


def _value_counts(parameters: Iterable[click.Parameter]) -> dict[str, int]:
    """Return how many words follow each option that takes values."""
    return {
        option: parameter.nargs
        for parameter in parameters
        if isinstance(parameter, click.Option) and not (parameter.is_flag or parameter.count)
        for option in parameter.opts
    }


def _select_command(commands: Mapping[str, click.Command], split: _SplitArguments, path: str) -> tuple[str, list[str]]:
    """Return the command, and the flags that name other commands but are options of this one.

    ``--build --restart`` is the command ``build`` with its option ``--restart``, since ``restart`` has no ``--build``.
    """
    named = list(dict.fromkeys(split.commands))
    for name in named:
        others = [f"--{other}" for other in named if other != name]
        if set(others) <= {option for parameter in commands[name].params for option in parameter.opts}:
            return name, others
    flags = [f"--{name}" for name in commands]
    if named:
        raise UsageError(
            f"{path} runs one command at a time, not {' and '.join(f'--{name}' for name in named)}",
            hint="run one after the other",
        )
    unknown = next((word.partition("=")[0] for word in split.others if word.startswith("--")), "")
    if unknown:
        raise UsageError(f"{path} has no command {unknown!r}", hint=suggest(unknown, flags, cutoff=0.75))
    raise UsageError(f"{path} requires a command", hint=f"one of {', '.join(flags)}")
