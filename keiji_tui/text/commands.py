"""The command line that does the same as a directive. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import get_args

import msgspec

from keiji_engine.bus.protocol import (
    AnyRequest,
    BuildTask,
    Create,
    Directive,
    PauseSystem,
    PauseTask,
    ResumeSystem,
    ServiceDirective,
    Shutdown,
)

SENDER = "keiji-tui"

_BY_VERB: dict[str, type[Directive]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyRequest) if issubclass(kind, Directive)
}


def command_line(directive: Directive) -> str:
    """Return the command that does what a directive does, such as "keiji task disable ping_google"."""
    if isinstance(directive, ServiceDirective):
        return f"keiji system {directive.verb.removesuffix('-service')} --{directive.service}"
    if isinstance(directive, Shutdown):
        return "keiji system stop"
    if isinstance(directive, PauseSystem | ResumeSystem):
        words = ["keiji", "system", directive.verb.removesuffix("-system")]
        return " ".join(words + _reason(directive))
    words = ["keiji", "task", directive.verb, shlex.quote(directive.target)]
    if isinstance(directive, BuildTask) and directive.restart:
        words.append("--restart")
    if isinstance(directive, Create):
        options = {"desc": directive.description, "schedule": directive.schedule}
        words += [f"--{name}={shlex.quote(value)}" for name, value in options.items() if value]
        words += ["--force"] if directive.force else []
    return " ".join(words + _reason(directive))


def recorded_command(verb: str, target: str, options: Mapping[str, str | bool]) -> str:
    """Return the command for an entry of the ledger; "" if this version does not know the verb or its options."""
    kind = _BY_VERB.get(verb)
    if kind is None:
        return ""
    name = next((field for field in ("task", "service", "name") if field in kind.__struct_fields__), "")
    try:
        return command_line(msgspec.convert({**options, **({name: target} if name else {})}, kind))
    except msgspec.ValidationError:  # recorded by another version of keiji
        return ""


def _reason(directive: Directive) -> list[str]:
    reason = directive.reason if isinstance(directive, PauseSystem | PauseTask) else ""
    return [f"--reason={shlex.quote(reason)}"] if reason else []
