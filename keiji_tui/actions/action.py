"""An action: its keys, scope, risk, and the rule that determines whether it is enabled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from keiji.errors import KeijiError
from keiji.records import Pause, Run
from keiji_engine.bus.views import BackfillView, LinkState, ServiceView, TaskView


class Risk(Enum):
    """The confirmation an action requires, depending on the damage it can do."""

    NONE = "at once"
    UNDOABLE = "press again to undo"
    ENDING = "asks y/n if a run is live; press again to undo"
    REASON = "asks for a reason; press again to undo"
    CONFIRM = "asks y/n"
    TYPED = "asks for the name"


class Scope(Enum):
    """The part of the interface in which a key works."""

    EVERYWHERE = "everywhere"
    LIST = "lists"
    TASKS = "list of tasks"
    TASK = "task"
    RUN = "run"
    BACKFILL = "backfill"
    LOG = "log"
    TEXT = "text"
    LEDGER = "directive"
    DAY = "next 24 hours"
    SERVICE = "service"
    DIALOG = "text in a dialog"
    HELP = "help"
    CONFIRMATION = "confirmation"
    FORM = "form"
    FILTER = "filter line"
    PROMPT = "prompt of a log"
    PALETTE = "palette"


@dataclass(frozen=True, slots=True)
class ActionContext:
    """The state that determines whether an action is enabled.

    Args:
        task, service, run, backfill: the current selection.
        is_offered: whether a rebuild of ``task`` is offered.
        offers: whether a rebuild of any task is offered.
        pause: the pause of the whole system.
        pending: the verb of the directive in progress for ``task``, such as "disable".
        trouble: why no engine can run in the workspace.
    """

    link: LinkState = LinkState.LIVE
    engine_lives: bool = False
    readonly: bool = False
    task: TaskView | None = None
    service: ServiceView | None = None
    run: Run | None = None
    backfill: BackfillView | None = None
    is_offered: bool = False
    offers: bool = False
    pause: Pause | None = None
    pending: str = ""
    trouble: KeijiError | None = None


Rule = Callable[[ActionContext], str]


def always(_: ActionContext) -> str:
    """Return "": the action is always enabled."""
    return ""


@dataclass(frozen=True, slots=True)
class Action:
    """A command bound to keys.

    Args:
        default_keys: the keys unless keys.conf changes them, as Textual names; the first one is displayed.
        label: one or two words for the footer.
        help: a sentence for the help and the palette.
        call: the action string that Textual runs, in the namespace of the screen by default.
        disabled_reason: returns why the action is disabled, "" if it is enabled.
        footer: the position in the footer, in ascending order; numbers below 10 are on the right, 0 is hidden.
        label_in: returns the label if it depends on the context.
        is_fixed: whether its keys cannot be changed, because they are the same in every input.
    """

    id: str
    default_keys: tuple[str, ...]
    label: str
    help: str
    scope: Scope
    call: str
    risk: Risk = Risk.NONE
    disabled_reason: Rule = always
    footer: int = 0
    label_in: Callable[[ActionContext], str] | None = None
    is_fixed: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys in keys.conf, or the default keys."""
        return _rebound.get(self.id, self.default_keys)

    @property
    def key(self) -> str:
        """The display label of the first key."""
        return key_label(self.keys[0])

    def needs_confirmation(self, context: ActionContext) -> bool:
        """Return whether the action requires confirmation."""
        if self.risk is Risk.ENDING:
            return context.task is not None and context.task.is_running and not context.task.is_disabled
        return self.risk in (Risk.CONFIRM, Risk.TYPED)

    def current_label(self, context: ActionContext) -> str:
        """Return the label for a context."""
        return self.label_in(context) if self.label_in else self.label


_rebound: dict[str, tuple[str, ...]] = {}  # by id; a process-wide setting, because one terminal has one user


def rebind(keys: Mapping[str, tuple[str, ...]]) -> None:
    """Set the keys of actions, by action id, and reset all others to their defaults."""
    _rebound.clear()
    _rebound.update(keys)


KEY_LABELS = {
    "question_mark": "?", "colon": ":", "slash": "/", "ctrl+p": "^p", "ctrl+d": "^d", "ctrl+u": "^u",
    "escape": "esc", "left": "←", "right": "→", "up": "↑", "down": "↓", "ctrl+q": "^q", "full_stop": ".",
    "left_square_bracket": "[", "right_square_bracket": "]", "ampersand": "&", "ctrl+s": "^s", "f1": "F1",
}  # fmt: skip


def key_label(key: str) -> str:
    """Return the display label of a key: "?" for "question_mark"."""
    return KEY_LABELS.get(key, key)
