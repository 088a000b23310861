"""The exception hierarchy: default messages, codes on the bus, and exit codes."""

from __future__ import annotations

import pytest

from keiji.errors import KeijiError, TaskNotFound, by_code


def _all_errors() -> list[type[KeijiError]]:
    errors, pending = [], [KeijiError]
    while pending:
        errors.append(kind := pending.pop())
        pending += [child for child in kind.__subclasses__() if child.__module__ == "keiji.errors"]
    return errors


@pytest.mark.parametrize("kind", _all_errors())
def test_every_error_has_a_default_message(kind: type[KeijiError]) -> None:
    error = kind()
    assert error.message == (kind.__doc__ or "").strip()
    assert error.message.endswith(".")
    assert "\n" not in error.message
    assert 1 <= kind.exit_code <= 5


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in _all_errors()]
    assert len(set(codes)) == len(codes)
    assert len(codes) > 20
    for kind in _all_errors():
        assert by_code(kind.code) is kind


def test_an_unknown_code_is_a_generic_error() -> None:
    assert by_code("from-the-future") is KeijiError


def test_an_error_as_text_is_its_message_with_the_hint_on_the_next_line() -> None:
    error = TaskNotFound("there is no task 'pong'", hint="did you mean 'ping'?")
    assert str(error) == "there is no task 'pong'\ndid you mean 'ping'?"
    assert str(TaskNotFound("there is no task 'pong'")) == "there is no task 'pong'"


def test_errors_inherit_from_built_in_exceptions() -> None:
    assert issubclass(TaskNotFound, LookupError)
    assert issubclass(by_code("invalid-name"), ValueError)
