"""What screens and widgets tell each other, in the past tense."""

from __future__ import annotations

from textual.message import Message


class RepaintRequested(Message):
    """A full screen came to the top and wants to be painted."""


class FilterChanged(Message):
    """Somebody changed what a task's name has to contain."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class FilterLeft(Message):
    """Somebody finished with the filter; ``is_kept`` says whether it stays."""

    def __init__(self, *, is_kept: bool) -> None:
        super().__init__()
        self.is_kept = is_kept


class LogOpened(Message):
    """A screen with a log came up, and nobody tells it yet what is in that."""


class RunsOutdated(Message):
    """A task whose runs are on the screen has begun or ended one."""

    def __init__(self, slug: str) -> None:
        super().__init__()
        self.slug = slug


class WhyOutdated(Message):
    """What explains a task is on the screen, and something of it has changed."""


class TaskSelected(Message):
    """Another task was selected; ``slug`` is None when there is none."""

    def __init__(self, slug: str | None) -> None:
        super().__init__()
        self.slug = slug
