"""The environment of a task: little of what the engine has, and what the task's own ``.env`` says.

Values are read when a run starts, so editing them needs no rebuild. They may be secrets: no message shows one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from keiji.errors import KeijiError
from keiji_engine.builds.snapshot import read_regular

# What programs need to find themselves, their user, their language and the network. Nothing of Python's, so that a
# task is the same whoever started the engine, and nothing of keiji's, so that it does not act on the engine by chance.
_PASSED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"}
)
_KEY = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_BARE = re.compile(r"[^\n]*")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_AFTER_QUOTE = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$", "`": "`"}


def read_env(folder: Path) -> dict[str, str]:
    """Read the ``.env`` of the task in ``folder``; empty when there is none.

    A line is ``KEY=value``, ``KEY='as it is'`` or ``KEY="with \\n and \\" escapes"``; ``export`` may precede it, quoted
    values may span lines, `` #`` begins a comment. Nothing is expanded.

    Raises:
        KeijiError: it cannot be read; the message has the line, never a value.
    """
    origin = f"{folder.name}/.env"
    try:
        content = read_regular(folder / ".env")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KeijiError(f"{origin} cannot be read: {error.strerror or error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise KeijiError(f"{origin}, line {line}: this is not UTF-8") from error
    return parse_env(text, origin)


def parse_env(text: str, origin: str = ".env") -> dict[str, str]:
    """Read the values in ``text``; ``origin`` names it in errors. Raises KeijiError as `read_env` does."""
    text = text.replace("\r\n", "\n")
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    at = 0
    while at < len(text):
        number = text.count("\n", 0, at) + 1
        end = text.find("\n", at) % (len(text) + 1)  # not found: the end of the text
        content = text[at:end].strip()
        if not content or content.startswith("#"):
            at = end + 1
            continue
        at += len(text[at:end]) - len(text[at:end].lstrip())
        found = _KEY.match(text, at)
        if not found:
            raise KeijiError(f"{origin}, line {number}: this is not of the form KEY=value")
        key = found[1]
        if key in lines:
            raise KeijiError(f"{origin}, line {number}: {key} is set already, in line {lines[key]}")
        values[key], at = _value(text, found.end(), f"{origin}, line {number}: {key}")
        if "\0" in values[key]:
            raise KeijiError(f"{origin}, line {number}: {key} has a NUL in it, which no environment can hold")
        lines[key] = number
    return values


def _value(text: str, at: int, where: str) -> tuple[str, int]:
    """Return the value that begins at ``at`` and where the next line begins."""
    quote = text[at : at + 1]
    if quote not in ("'", '"') or not quote:
        bare = _BARE.match(text, at)
        assert bare is not None  # it matches anything
        value = bare[0] if not bare[0].startswith("#") else ""
        return re.split(r"[ \t]#", value, maxsplit=1)[0].strip(), bare.end() + 1
    quoted = (_SINGLE if quote == "'" else _DOUBLE).match(text, at)
    if not quoted:
        raise KeijiError(f"{where} begins with {quote}, and no {quote} ends it")
    after = _AFTER_QUOTE.match(text, quoted.end())
    if not after:
        raise KeijiError(f"{where} goes on after its closing {quote}")
    value = quoted[1]
    if quote == '"':
        value = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), value, flags=re.DOTALL)
    return value, after.end()


def quoted(value: str) -> str:
    """Return ``value`` as `parse_env` and a shell both read it back."""
    if "'" not in value and value.isprintable():
        return f"'{value}'"
    escapes = {"\\": "\\\\", '"': '\\"', "$": "\\$", "`": "\\`", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(letter, letter) for letter in value) + '"'


def child_environment(folder: Path, inherited: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a run.

    Args:
        folder: the task's; its ``.env`` is read now.
        inherited: the engine's environment, of which little is passed on.
        extra: what keiji itself says, such as ``KEIJI_RUN_ID``; has the last word.

    Raises:
        KeijiError: the ``.env`` cannot be read.
    """
    passed = {key: value for key, value in inherited.items() if key in _PASSED or key.startswith("LC_")}
    return passed | read_env(folder) | dict(extra)
