"""The clipboard of the user's terminal, which may be on another machine and behind a multiplexer.

Terminals accept text for their clipboard with the sequence OSC 52, and do not say whether they do. tmux ignores it by
default, but its own command copies reliably. screen passes it on if it is wrapped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from keiji_tui.text.sanitise import plain

_TMUX_COMMANDS = (
    (("tmux", "load-buffer", "-w", "-"), "copied to tmux and the terminal's clipboard"),
    (("tmux", "load-buffer", "-"), "copied to tmux"),  # before tmux 3.2
)
_TMUX_SECONDS = 2.0
_SENT = "sent to the terminal's clipboard (OSC 52)"
_SCREEN_CHUNK = 76  # characters; screen limits the length of a wrapped sequence
_SHOWN_LENGTH = 60  # characters


class Clipboard:
    """Copies text.

    Args:
        environment: the environment variables, which name the multiplexer.

    Attributes:
        text: what was copied last.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self.text = ""

    async def copy(self, text: str, send: Callable[[str], None]) -> str:
        """Copy text and return what was done with it, to be shown to the user.

        Args:
            send: sends text to the terminal with OSC 52.
        """
        self.text = text
        if self._environment.get("TMUX"):
            for command, done in _TMUX_COMMANDS:
                if await self._run(command, text):
                    return f"{done}: {_summary(text)}"
        send(text)
        return f"{_SENT}: {_summary(text)}"

    async def _run(self, command: tuple[str, ...], text: str) -> bool:
        """Run a command with text as its input; return whether it succeeded."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=self._environment,
            )
        except OSError:
            return False
        try:
            await asyncio.wait_for(process.communicate(text.encode()), _TMUX_SECONDS)
        except TimeoutError:
            return False
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        return process.returncode == 0


def wrap_for_multiplexer(sequence: str, environment: Mapping[str, str]) -> str:
    """Return an OSC 52 sequence as the multiplexer expects it."""
    in_screen = environment.get("TERM", "").startswith("screen") and not environment.get("TMUX")
    if not in_screen and not environment.get("STY"):
        return sequence
    chunks = (sequence[begin : begin + _SCREEN_CHUNK] for begin in range(0, len(sequence), _SCREEN_CHUNK))
    wrapped = "".join(f"\x1bP{chunk}\x1b\\" for chunk in chunks)
    # tmux on the other side of an SSH connection uses the same $TERM, and understands only the sequence itself.
    return wrapped if environment.get("STY") else sequence + wrapped


def _summary(text: str) -> str:
    lines = text.splitlines() or [""]
    more = f" and {len(lines) - 1:,} more" if len(lines) > 1 else ""
    return f"{plain(lines[0], _SHOWN_LENGTH)}{more}"
