"""What every part of the terminal may rely on; `keiji_tui.app` puts the parts together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable

from textual.app import App

from keiji_tui.engine.directives import DirectiveSender
from keiji_tui.screens.base import BaseScreen
from keiji_tui.screens.tasks import TasksScreen
from keiji_tui.state.store import Store


class Part(App[None]):
    """A part of the terminal."""

    store: Store
    _errands: DirectiveSender
    _tasks_screen: TasksScreen

    @property
    @abstractmethod
    def board(self) -> BaseScreen:
        """The full screen that is on top."""

    @abstractmethod
    def _to_tasks(self) -> None:
        """Close what lies over the tasks."""

    @abstractmethod
    def _paint(self) -> None:
        """Bring the screen up to the store."""

    @abstractmethod
    def _start(self, work: Callable[[], Awaitable[None]], group: str = ...) -> None:
        """Do ``work`` beside everything else."""
