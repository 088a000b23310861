"""What the terminfo database says about a terminal."""

from __future__ import annotations

from dataclasses import dataclass

_UNUSABLE = ("", "dumb", "unknown")


@dataclass(frozen=True, slots=True)
class TerminalInfo:
    """The capabilities of a terminal.

    Args:
        is_usable: whether the cursor can be moved; assumed for terminals that the database does not contain.
        can_erase: whether erased cells get the current background colour.
    """

    is_usable: bool = True
    can_erase: bool = False

    @classmethod
    def read(cls, name: str) -> TerminalInfo:
        """Read the capabilities of the terminal ``name``, the value of $TERM."""
        if name in _UNUSABLE:
            return cls(is_usable=False)
        try:
            import curses
        except ImportError:  # Python was built without it
            return cls()
        try:
            curses.setupterm(name, fd=2)
        except curses.error:
            return cls()
        return cls(is_usable=bool(curses.tigetstr("cup")), can_erase=curses.tigetflag("bce") == 1)
