"""The command line that does the same as a directive. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import get_args

import msgspec

from keiji_engine.bus.protocol import (
    AnyRequest,
    Apply,
    BackfillTask,
    BuildTask,
    Create,
    Directive,
    PauseSystem,
    PauseTask,
    PinBuild,
    RenameTask,
    RerunTask,
    ResumeBackfill,
    ResumeSystem,
    RollBack,
    RunTask,
    ServiceDirective,
    Shutdown,
    StopBackfill,
    UnpinBuild,
)

SENDER = "keiji-tui"

_BY_VERB: dict[str, type[Directive]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyRequest) if issubclass(kind, Directive)
}

# The options that consist of several values, which the ledger has as one text.
_COMPOSED: dict[type[Directive], dict[str, type]] = {
    Create: {"command": tuple, "tags": tuple},
    RunTask: {"params": dict, "env": dict},
    BackfillTask: {"params": dict},
    Apply: {"prune": tuple},
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
    if isinstance(directive, Apply):
        return "keiji apply --prune" if directive.prune else "keiji apply"
    if isinstance(directive, StopBackfill | ResumeBackfill):
        option = directive.verb.removesuffix("-backfill")
        return f"keiji task backfill {shlex.quote(directive.target)} --{option}={directive.backfill}"
    words = ["keiji", "task", directive.verb, shlex.quote(directive.target)]
    if isinstance(directive, BuildTask) and directive.restart:
        words.append("--restart")
    if isinstance(directive, Create):
        options = {
            "desc": directive.description,
            "schedule": directive.schedule,
            "shell": directive.shell,
            "cwd": directive.cwd,
            "policy": directive.policy,
        }
        words += [f"--{name}={shlex.quote(value)}" for name, value in options.items() if value]
        words += [f"--tag={shlex.quote(tag)}" for tag in directive.tags]
        words += ["--force"] if directive.force else []
        words += ["--", *map(shlex.quote, directive.command)] if directive.command else []
    if isinstance(directive, RollBack | PinBuild | UnpinBuild):
        words += [shlex.quote(directive.build)] if directive.build else []
    if isinstance(directive, RunTask):
        words += _run_options(directive)
    if isinstance(directive, RerunTask):
        words.append(shlex.quote(directive.run))
    if isinstance(directive, RenameTask):
        words.append(shlex.quote(directive.new_name))
    if isinstance(directive, BackfillTask):
        words += [f"--from={shlex.quote(directive.begin)}", f"--to={shlex.quote(directive.end)}"]
        words += [f"--parallel={directive.parallel}"] if directive.parallel != 1 else []
        words += ["--again"] if directive.again else []
        words += _parameters(directive.params)
    return " ".join(words + _reason(directive))


def _run_options(directive: RunTask) -> list[str]:
    words = [f"--env={name}={shlex.quote(value)}" for name, value in directive.env.items()]
    words += [f"--timeout={directive.timeout:g}"] if directive.timeout is not None else []
    words += [f"--due={directive.due.isoformat()}"] if directive.due is not None else []
    return words + _parameters(directive.params)


def _parameters(params: Mapping[str, str]) -> list[str]:
    return ["--", *(shlex.quote(f"{name}={value}") for name, value in params.items())] if params else []


def recorded_command(verb: str, target: str, options: Mapping[str, str | bool]) -> str:
    """Return the command for an entry of the ledger; "" if this version does not know the verb or its options."""
    kind = _BY_VERB.get(verb)
    if kind is None:
        return ""
    name = next((field for field in ("task", "service", "name") if field in kind.__struct_fields__), "")
    try:
        typed = {key: _from_text(kind, key, value) for key, value in options.items()}
        return command_line(msgspec.convert({**typed, **({name: target} if name else {})}, kind, strict=False))
    except (msgspec.ValidationError, ValueError):  # recorded by another version of keiji
        return ""


def _from_text(kind: type[Directive], name: str, value: str | bool) -> object:
    """Return the value of an option that the ledger has as text. Of environment variables, it has only the names."""
    if not isinstance(value, str) or name not in _COMPOSED.get(kind, {}):
        return value
    words = shlex.split(value)
    if _COMPOSED[kind][name] is tuple:
        return words
    return dict.fromkeys(words, "…") if name == "env" else dict(word.split("=", 1) for word in words)


def _reason(directive: Directive) -> list[str]:
    reason = directive.reason if isinstance(directive, PauseSystem | PauseTask) else ""
    return [f"--reason={shlex.quote(reason)}"] if reason else []
