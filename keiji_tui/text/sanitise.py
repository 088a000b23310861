"""What other programs wrote, made safe to show: colours stay, everything else that a terminal would obey goes."""

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


def sanitise_line(text: str, longest: int = MAX_LINE_LENGTH) -> str:
    """Return one line of ``text`` in which the only escape sequences are those of colour and emphasis (SGR).

    Args:
        longest: letters kept; what is cut is replaced by how much it was.
    """
    cut = len(text) - longest
    if cut > 0:
        text = text[:longest]
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


def plain(text: str, longest: int = 500) -> str:
    """Return ``text`` as one line without any escape sequence, for names, reasons and messages."""
    shown = _plain(_SEQUENCE.sub("", text[:longest]))
    return shown if len(text) <= longest else shown + "…"


def _plain(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    # What a carriage return would have overwritten on a terminal is what a progress bar leaves behind.
    text = text.rstrip("\r\n")
    return "".join(_printable(letter) for letter in text.rpartition("\r")[2].expandtabs(_TAB))


def _printable(letter: str) -> str:
    category = unicodedata.category(letter)
    if category in {"Zl", "Zp"} or letter in "\n\v\f":
        return " "
    # Joiners, direction marks and selectors change how wide a terminal draws what stands around them.
    if category in {"Cc", "Cf", "Cs", "Co", "Cn"} or "\ufe00" <= letter <= "\ufe0f":
        return ""
    return letter
