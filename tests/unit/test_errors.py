"""One family of errors: each has words, a name on the wire and an exit code."""

from __future__ import annotations

import pytest

from keiji.errors import KeijiError, TaskNotFound, by_code


def _family() -> list[type[KeijiError]]:
    found, pending = [], [KeijiError]
    while pending:
        found.append(kind := pending.pop())
        pending += [child for child in kind.__subclasses__() if child.__module__ == "keiji.errors"]
    return found


@pytest.mark.parametrize("kind", _family())
def test_every_error_says_what_happened_even_when_nobody_tells_it(kind: type[KeijiError]) -> None:
    error = kind()
    assert error.message == (kind.__doc__ or "").strip()
    assert error.message.endswith(".")
    assert "\n" not in error.message
    assert 1 <= kind.exit_code <= 4


def test_every_code_names_one_error() -> None:
    codes = [kind.code for kind in _family()]
    assert len(set(codes)) == len(codes)
    assert len(codes) > 20
    for kind in _family():
        assert by_code(kind.code) is kind


def test_a_code_of_a_newer_version_is_an_error_all_the_same() -> None:
    assert by_code("from-the-future") is KeijiError


def test_an_error_prints_its_message_and_on_the_next_line_its_hint() -> None:
    error = TaskNotFound("there is no task 'pong'", hint="did you mean 'ping'?")
    assert str(error) == "there is no task 'pong'\ndid you mean 'ping'?"
    assert str(TaskNotFound("there is no task 'pong'")) == "there is no task 'pong'"


def test_errors_can_be_caught_by_their_everyday_kinds() -> None:
    assert issubclass(TaskNotFound, LookupError)
    assert issubclass(by_code("invalid-name"), ValueError)
