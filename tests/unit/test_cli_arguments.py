"""A verb as an option means the same as a verb as a word."""

from __future__ import annotations

import pytest

from keiji.errors import UsageError
from keiji_cli.arguments import VERBS, normalize_argv


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("task --create --name=ping --desc=pings", "task create --desc=pings -- ping"),
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
        ("task --create --name ping --force", "task create --force -- ping"),
        ("system --start", "system start"),
        ("system --start --bus", "system start --bus"),
        ("system --logs --scheduler", "system logs --scheduler"),
        ("system --restart", "system restart"),
        ("system --uninstall --yes", "system uninstall --yes"),
        ("task --build --help", "task build --help"),
        ("task --help", "task --help"),
        ("task build --name=ping --restart", "task build --restart -- ping"),
    ],
)
def test_a_verb_as_an_option_means_the_same_as_one_as_a_word(typed: str, meant: str) -> None:
    assert normalize_argv(typed.split()) == meant.split()


@pytest.mark.parametrize(
    "arguments",
    [[], ["init"], ["task"], ["--version"], ["task", "build", "ping", "--restart"], ["system", "start", "--bus"]],
)
def test_what_is_written_in_words_stays_as_it_is(arguments: list[str]) -> None:
    assert normalize_argv(arguments) == arguments


@pytest.mark.parametrize(("group", "verb"), [(group, verb) for group, verbs in VERBS.items() for verb in verbs])
def test_every_verb_can_be_written_as_an_option(group: str, verb: str) -> None:
    assert normalize_argv([group, f"--{verb}"]) == [group, verb]


def test_the_value_of_an_option_is_not_taken_for_a_verb() -> None:
    assert normalize_argv(["task", "--create", "--name", "--delete", "--desc", "--build"]) == [
        "task", "create", "--desc", "--build", "--", "--delete",
    ]  # fmt: skip


def test_a_name_keeps_its_blanks_quotes_and_equals_signs() -> None:
    assert normalize_argv(["task", "--get", "--name=a 'b' = [c]"])[-1] == "a 'b' = [c]"


def test_two_verbs_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="--create and --delete"):
        normalize_argv(["task", "--create", "--delete", "--name=ping"])


def test_a_misspelt_verb_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as refused:
        normalize_argv(["task", "--bild", "--name=ping"])
    assert refused.value.hint == "did you mean --build?"


def test_no_verb_at_all_is_answered_with_all_of_them() -> None:
    with pytest.raises(UsageError) as refused:
        normalize_argv(["system", "--bus"])
    assert all(f"--{verb}" in refused.value.hint for verb in VERBS["system"])


def test_a_name_option_without_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="--name needs"):
        normalize_argv(["task", "--get", "--name"])
