"""The option spelling of commands: ``keiji task --build --name=ping`` for ``keiji task build ping``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from keiji.errors import UsageError
from keiji_cli.arguments import normalize_argv
from keiji_cli.groups import OptionSpellingGroup
from keiji_cli.main import keiji


def subcommands(parent: click.Group) -> dict[str, click.Command]:
    context = click.Context(parent, **keiji.context_settings)
    commands = {name: parent.get_command(context, name) for name in parent.list_commands(context)}
    return {name: command for name, command in commands.items() if command is not None}


# Contexts inherit the names of the help option from the root command.
ROOT = click.Context(keiji, **keiji.context_settings)
GROUPS = {name: command for name, command in subcommands(keiji).items() if isinstance(command, click.Group)}


def normalize(line: str) -> list[str]:
    group, *words = line.split()
    return [group, *normalize_argv(subcommands(GROUPS[group]), words, path=f"keiji {group}")]


@pytest.mark.parametrize(
    ("option_spelling", "expected"),
    [
        ("task --create --name=ping --desc=pings", "task create --desc=pings --name=ping"),
        ("task --name=ping --build", "task build -- ping"),
        ("task --name ping --build", "task build -- ping"),
        ("task --name=ping --build --restart", "task build --restart -- ping"),
        ("task --restart --build --name=ping", "task build --restart -- ping"),
        ("task --restart --name=ping", "task restart -- ping"),
        ("task --get", "task get"),
        ("task --get --json", "task get --json"),
        ("task --build ping", "task build ping"),
        ("task --logs --name ping --vim", "task logs --vim -- ping"),
        ("task --logs --name ping -n 5 --follow", "task logs -n 5 --follow -- ping"),
        ("task --create --name ping --force", "task create --force --name=ping"),
        ("system --start", "system start"),
        ("system --start --bus", "system start --bus"),
        ("system --logs --scheduler", "system logs --scheduler"),
        ("system --restart", "system restart"),
        ("system --uninstall --yes", "system uninstall --yes"),
        ("task --build --help", "task build --help"),
        ("task --help", "task --help"),
        ("task build --name=ping --restart", "task build --restart -- ping"),
        ("task --create --name=b -- ./x --force --name=y", "task create --name=b -- ./x --force --name=y"),
        ("task create b --cwd / -- -- --desc", "task create b --cwd / -- -- --desc"),
        ("task --name=b --run -- day=1 --stop", "task run --name=b -- day=1 --stop"),
    ],
)
def test_option_spelling_is_converted_to_words(option_spelling: str, expected: str) -> None:
    assert normalize(option_spelling) == expected.split()


@pytest.mark.parametrize("line", ["task", "task build ping --restart", "system start --bus", "task biuld ping --force"])
def test_words_are_left_unchanged(line: str) -> None:
    assert normalize(line) == line.split()


def test_every_group_accepts_the_option_spelling() -> None:
    assert set(GROUPS) == {"task", "system", "db", "import", "export"}
    assert all(isinstance(group, OptionSpellingGroup) for group in GROUPS.values())


def spellings() -> Iterator[object]:
    """Yield (group, command, words) for each command, and for each of its options with its values."""
    for group_name, group in GROUPS.items():
        commands = subcommands(group)
        for command_name, command in commands.items():
            yield pytest.param(group_name, command_name, [], id=f"{group_name}-{command_name}")
            for option in (parameter for parameter in command.params if isinstance(parameter, click.Option)):
                # A value that looks like another command must stay a value.
                value = "--stop" if option.type is click.STRING else "5"
                values = [] if option.is_flag or option.count else [value] * option.nargs
                for flag in option.opts:
                    yield pytest.param(
                        group_name, command_name, [flag, *values], id=f"{group_name}-{command_name}{flag}"
                    )


@pytest.mark.parametrize(("group", "name", "words"), spellings())
def test_every_command_and_option_has_the_same_meaning_in_option_spelling(
    group: str, name: str, words: list[str]
) -> None:
    commands = subcommands(GROUPS[group])
    command = commands[name]
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    positionals = ["ping" for argument in arguments if argument.nargs == 1]
    as_options = [f"--{argument.name}=ping" for argument in arguments if argument.nargs == 1]
    expected = command.make_context(name, [*words, *positionals], parent=ROOT).params
    for line in ([f"--{name}", *words, *as_options], [*as_options, *words, f"--{name}"], [name, *as_options, *words]):
        normalized_name, *rest = normalize_argv(commands, line, path=f"keiji {group}")
        assert normalized_name == name
        assert command.make_context(name, rest, parent=ROOT).params == expected


@pytest.mark.parametrize("group", GROUPS)
def test_no_option_is_ambiguous_within_a_group(group: str) -> None:
    commands = subcommands(GROUPS[group])
    value_counts = defaultdict(set)
    for command in commands.values():
        single = [p for p in command.params if isinstance(p, click.Argument) and p.nargs == 1]
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for flag in parameter.opts:
                    value_counts[flag].add(0 if parameter.is_flag or parameter.count else parameter.nargs)
        for argument in single:
            value_counts[f"--{argument.name}"].add(1)
    assert all(len(counts) == 1 for counts in value_counts.values()), value_counts


def test_commands_and_options_are_read_from_their_click_definition() -> None:
    @click.group(cls=OptionSpellingGroup)
    def group() -> None: ...

    @group.command()
    @click.argument("target")
    @click.option("--range", "bounds", nargs=2)
    @click.option("-v", "verbosity", count=True)
    def scan(target: str, bounds: tuple[str, str], verbosity: int) -> None:
        click.echo(f"{target} {bounds} {verbosity}")

    @group.command()
    def clear() -> None: ...

    result = CliRunner().invoke(group, ["--range", "--clear", "--target", "--scan", "-v", "--target", "a b"])
    assert result.output == "a b ('--clear', '--target') 1\n"


def test_an_option_named_like_a_command_belongs_to_its_own_command() -> None:
    assert normalize("task --stop --name=ping") == ["task", "stop", "--", "ping"]
    assert normalize("task --backfill --stop 3") == ["task", "backfill", "--stop", "3"]
    assert normalize("task --stop 3 --backfill") == ["task", "backfill", "--stop", "3"]


@pytest.mark.parametrize(
    "line",
    [
        "task --rerun --name=ping --run_id=7",
        "task --rerun --run_id=7 --name=ping",
        "task rerun --run_id=7 ping",
        "task --name=ping --rerun 7",
    ],
)
def test_several_arguments_keep_the_order_in_which_the_command_declares_them(line: str) -> None:
    assert normalize(line) == ["task", "rerun", "--", "ping", "7"]


def test_the_value_of_an_option_is_not_mistaken_for_a_command() -> None:
    assert normalize("task --create --name --delete --desc --build") == [
        "task", "create", "--desc", "--build", "--name=--delete",
    ]  # fmt: skip


def test_a_name_keeps_its_spaces_quotes_and_equals_signs() -> None:
    words = normalize_argv(subcommands(GROUPS["task"]), ["--get", "--name=a 'b' = [c]"], path="keiji task")
    assert words == ["get", "--", "a 'b' = [c]"]


def test_two_commands_at_once_are_rejected() -> None:
    with pytest.raises(UsageError, match="--create and --delete"):
        normalize("task --create --delete --name=ping")


def test_a_misspelled_command_is_rejected_with_the_closest_match() -> None:
    with pytest.raises(UsageError) as raised:
        normalize("task --bild --name=ping")
    assert raised.value.hint == "did you mean '--build'?"


def test_a_command_after_its_options_is_rejected_with_the_right_order() -> None:
    with pytest.raises(UsageError, match="keiji task takes the command first") as raised:
        normalize_argv(subcommands(GROUPS["task"]), ["--name=a b", "run"], path="keiji task")
    assert raised.value.hint == "keiji task run '--name=a b'"


def test_a_missing_command_is_rejected_with_all_commands() -> None:
    with pytest.raises(UsageError) as raised:
        normalize("system --bus")
    assert all(f"--{name}" in raised.value.hint for name in subcommands(GROUPS["system"]))


def test_a_name_option_without_a_value_is_rejected() -> None:
    with pytest.raises(UsageError, match="--name requires a value"):
        normalize("task --get --name")
