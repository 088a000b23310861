"""What an action is that a key does, where it works, how much harm it can do, and what decides whether it may now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from keiji.errors import KeijiError
from keiji.records import Pause
from keiji_engine.bus.views import LinkState, ServiceView, TaskView


class Risk(Enum):
    """How an action is confirmed: by the harm it can do."""

    NONE = "at once"
    UNDOABLE = "press again to undo"
    ENDING = "asks y/n if a run is live; press again to undo"
    REASON = "asks for a reason; press again to undo"
    CONFIRM = "asks y/n"
    TYPED = "asks for the name"


class Scope(Enum):
    """Where a key works: everywhere, on a list, in a log, or where one kind of thing is selected."""

    EVERYWHERE = "everywhere"
    LIST = "lists"
    TASKS = "list of tasks"
    TASK = "task"
    RUN = "run"
    LOG = "log"
    TEXT = "text"
    LEDGER = "directive"
    DAY = "next 24 hours"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class ActionContext:
    """What decides whether an action is allowed now.

    Args:
        task, service: what is selected.
        is_offered: whether the rebuild of ``task`` is being offered.
        offers: whether any rebuild is.
        pause: that of everything.
        pending: what is under way of ``task``: "disable".
        trouble: why no engine could work on the workspace.
    """

    link: LinkState = LinkState.LIVE
    engine_lives: bool = False
    readonly: bool = False
    task: TaskView | None = None
    service: ServiceView | None = None
    is_offered: bool = False
    offers: bool = False
    pause: Pause | None = None
    pending: str = ""
    trouble: KeijiError | None = None


Rule = Callable[[ActionContext], str]


def always(_: ActionContext) -> str:
    """Nothing stands against it."""
    return ""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a key does.

    Args:
        usual: its keys as long as nobody binds others, as the toolkit names them; the first is shown.
        label: a word or two for the footer.
        help: a sentence for help and palette.
        blocked: why not now, "" when it is allowed.
        call: the toolkit's action, where a widget does it by itself; "" for a handler of the terminal.
        footer: where in the footer, low numbers first; below ten on the right; 0 for not there.
        label_now: the label where it depends on the action_context.
    """

    id: str
    usual: tuple[str, ...]
    label: str
    help: str
    place: Scope
    risk: Risk = Risk.NONE
    blocked: Rule = always
    call: str = ""
    footer: int = 0
    label_now: Callable[[ActionContext], str] | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Its keys: those of the person's file, or else the usual ones."""
        return _bound.get(self.id, self.usual)

    @property
    def key(self) -> str:
        """The first key, as people write it."""
        return shown(self.keys[0])

    def is_asked(self, action_context: ActionContext) -> bool:
        """Return whether somebody is asked before it is done."""
        if self.risk is Risk.ENDING:
            return (
                action_context.task is not None
                and action_context.task.is_running
                and not action_context.task.is_disabled
            )
        return self.risk in (Risk.CONFIRM, Risk.TYPED)

    def named(self, action_context: ActionContext) -> str:
        """Return the label as it is now."""
        return self.label_now(action_context) if self.label_now else self.label


_bound: dict[str, tuple[str, ...]] = {}  # by id; one person sits before one terminal, and all that is shown asks here


def bind(keys: Mapping[str, tuple[str, ...]]) -> None:
    """Give actions, by their id, other keys than the usual ones; all others have the usual ones from now on."""
    _bound.clear()
    _bound.update(keys)


NAMES = {
    "question_mark": "?", "colon": ":", "slash": "/", "ctrl+p": "^p", "ctrl+d": "^d", "ctrl+u": "^u",
    "escape": "esc", "left": "←", "right": "→", "up": "↑", "down": "↓", "ctrl+q": "^q", "full_stop": ".",
    "left_square_bracket": "[", "right_square_bracket": "]", "ampersand": "&", "ctrl+s": "^s",
}  # fmt: skip


def shown(key: str) -> str:
    """Return a key as people write it: "?" for "question_mark"."""
    return NAMES.get(key, key)
