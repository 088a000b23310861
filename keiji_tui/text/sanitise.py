"""Makes text of other programs safe to show: keeps colours, and removes all other control sequences."""

from __future__ import annotations

import re
import unicodedata

MAX_LINE_LENGTH = 4_000

# In this order: strings (OSC, DCS, SOS, PM, APC) up to their end or that of the text, CSI, other escapes.
_SEQUENCE = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])(?:[^\x07\x1b\x9c]|\x1b(?!\\))*(?:\x07|\x1b\\|\x9c|$)"
    r"|(?:\x1b\[|\x9b)(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~]|$)"
    r"|\x1b[ -/]*[0-~]?"
)
_COLOUR = re.compile(r"[0-9;:]*")
_TAB = 8


def sanitise_line(text: str, max_length: int = MAX_LINE_LENGTH) -> str:
    """Return ``text`` as one line whose only escape sequences are those of colour and emphasis (SGR).

    Args:
        max_length: maximum number of characters; the number of those cut off is appended.
    """
    cut = len(text) - max_length
    if cut > 0:
        text = text[:max_length]
    parts: list[str] = []
    end = 0
    for match in _SEQUENCE.finditer(text):
        parts.append(_plain(text[end : match.start()]))
        if match["final"] == "m" and _COLOUR.fullmatch(match["parameters"]):
            parts.append(f"\x1b[{match['parameters'].replace(':', ';')}m")
        end = match.end()
    parts.append(_plain(text[end:]))
    if cut > 0:
        parts.append(f"\x1b[0m … {cut:,} more")
    return "".join(parts)


def plain(text: str, max_length: int = 500) -> str:
    """Return ``text`` as one line without escape sequences, for names, reasons and messages."""
    shown = _plain(_SEQUENCE.sub("", text[:max_length]))
    return shown if len(text) <= max_length else shown + "…"


def _plain(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    # A carriage return overwrites the line, as progress bars do.
    text = text.rstrip("\r\n")
    return "".join(_printable(character) for character in text.rpartition("\r")[2].expandtabs(_TAB))


def _printable(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Zl", "Zp"} or character in "\n\v\f":
        return " "
    # Joiners, direction marks and variation selectors change the width of adjacent characters in some terminals.
    if category in {"Cc", "Cf", "Cs", "Co", "Cn"} or "\ufe00" <= character <= "\ufe0f":
        return ""
    return character
