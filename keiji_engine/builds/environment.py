"""The environment of a run: a few of the engine's variables plus those of ``task.toml`` and of ``.env``.

The ``.env`` is read when a run starts, so editing it requires no rebuild. Its values may be secrets: no message
contains one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from keiji.errors import KeijiError
from keiji_engine.builds.snapshot import read_regular_file

# The variables that programs need for paths, user, language and network. Python's variables are left out so that a task
# behaves the same regardless of how the engine was started; keiji's, so that a task does not act on the engine by
# accident.
INHERITED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"}
)
_KEY = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_UNQUOTED = re.compile(r"[^\n]*")
_SINGLE_QUOTED = re.compile(r"'([^']*)'")
_DOUBLE_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_AFTER_QUOTE = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_MAX_VARIABLE_BYTES = 128 * 1024  # MAX_ARG_STRLEN of Linux, for "KEY=value" and a NUL
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$", "`": "`"}


def read_env(folder: Path) -> dict[str, str]:
    """Read the ``.env`` of the task in ``folder``; return {} if there is none.

    A line is ``KEY=value``, ``KEY='literal'`` or ``KEY="with \\n and \\" escapes"``. ``export`` may precede it, quoted
    values may span lines, `` #`` starts a comment. Variables are not expanded.

    Raises:
        KeijiError: it cannot be read; the message names the line, but never a value.
    """
    origin = f"{folder.name}/.env"
    try:
        content = read_regular_file(folder / ".env")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KeijiError(f"{origin} cannot be read: {error.strerror or error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise KeijiError(f"{origin}, line {line}: not valid UTF-8") from error
    return parse_env(text, origin)


def parse_env(text: str, origin: str = ".env") -> dict[str, str]:
    """Parse the text of a ``.env``; ``origin`` names the file in errors. Raises KeijiError like `read_env`."""
    text = text.replace("\r\n", "\n")
    values: dict[str, str] = {}
    line_numbers: dict[str, int] = {}
    position = 0
    while position < len(text):
        number = text.count("\n", 0, position) + 1
        end = text.find("\n", position) % (len(text) + 1)  # -1, not found, becomes the end of the text
        line = text[position:end]
        if not line.strip() or line.lstrip().startswith("#"):
            position = end + 1
            continue
        position += len(line) - len(line.lstrip())
        match = _KEY.match(text, position)
        if not match:
            raise KeijiError(f"{origin}, line {number}: expected KEY=value")
        key = match[1]
        if key in line_numbers:
            raise KeijiError(f"{origin}, line {number}: {key} is already set on line {line_numbers[key]}")
        values[key], position = _parse_value(text, match.end(), f"{origin}, line {number}: {key}")
        if "\0" in values[key]:
            reason = "contains a NUL character, which is not allowed in environment variables"
            raise KeijiError(f"{origin}, line {number}: {key} {reason}")
        line_numbers[key] = number
    return values


def _parse_value(text: str, start: int, location: str) -> tuple[str, int]:
    """Return the value that starts at ``start``, and where the next line starts."""
    quote_mark = text[start : start + 1]
    if quote_mark not in ("'", '"') or not quote_mark:
        unquoted = _UNQUOTED.match(text, start)
        assert unquoted is not None  # the pattern matches any text
        value = unquoted[0] if not unquoted[0].startswith("#") else ""
        return re.split(r"[ \t]#", value, maxsplit=1)[0].strip(), unquoted.end() + 1
    quoted = (_SINGLE_QUOTED if quote_mark == "'" else _DOUBLE_QUOTED).match(text, start)
    if not quoted:
        raise KeijiError(f"{location} has no closing {quote_mark}")
    rest = _AFTER_QUOTE.match(text, quoted.end())
    if not rest:
        raise KeijiError(f"{location} has text after its closing {quote_mark}")
    value = quoted[1]
    if quote_mark == '"':
        value = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), value, flags=re.DOTALL)
    return value, rest.end()


def quote(value: str) -> str:
    """Return ``value`` quoted for `parse_env` and for a shell."""
    if "'" not in value and value.isprintable():
        return f"'{value}'"
    escapes = {"\\": "\\\\", '"': '\\"', "$": "\\$", "`": "\\`", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(character, character) for character in value) + '"'


def child_environment(
    folder: Path,
    inherited: Mapping[str, str],
    extra: Mapping[str, str],
    *,
    defaults: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the complete environment of a run.

    Args:
        folder: the task's folder; its ``.env`` is read now.
        inherited: the engine's environment; only a few of its variables are passed on.
        extra: variables set by keiji, such as ``KEIJI_RUN_ID``; they override all others.
        defaults: the variables in task.toml; those of ``.env`` override them.
        overrides: the variables of this run only; they override those of ``.env``.

    Raises:
        KeijiError: the ``.env`` cannot be read.
    """
    passed_on = {key: value for key, value in inherited.items() if key in INHERITED or key.startswith("LC_")}
    own = dict(defaults or {})
    _check_size(own, f"{folder.name}/task.toml")
    values = read_env(folder)
    _check_size(values, f"{folder.name}/.env")
    return passed_on | own | values | dict(overrides or {}) | dict(extra)


def _check_size(values: Mapping[str, str], origin: str) -> None:
    """Raise KeijiError if the system would refuse to start a program with these variables."""
    sizes = {key: len(os.fsencode(f"{key}={value}")) + 1 for key, value in values.items()}
    largest = max(sizes, key=sizes.__getitem__, default="")
    hint = "put large values into a file, and the path of the file into .env"
    if largest and sizes[largest] > _MAX_VARIABLE_BYTES:
        reason = f"has {sizes[largest]:,} bytes; a variable can have at most {_MAX_VARIABLE_BYTES:,}"
        raise KeijiError(f"{origin}: {largest} {reason}", hint=hint)
    total, limit = sum(sizes.values()), _max_total_bytes()
    if total > limit:
        reason = f"has {total:,} bytes of variables, and can have at most {limit:,}; the largest is {largest}"
        raise KeijiError(f"{origin} {reason}", hint=hint)


def _max_total_bytes() -> int:
    try:
        limit = os.sysconf("SC_ARG_MAX")
    except (ValueError, OSError):
        limit = -1
    # Half of the limit, since it includes the arguments, the other variables, and a pointer for each of them.
    return (limit if limit > 0 else 1 << 20) // 2
