"""Every key, declared once: what it is called, what it does, how much harm it can do, and when it is allowed.

Footer, help, palette and bindings all come from `ACTIONS`. Pure: no toolkit.
"""

from __future__ import annotations

from collections.abc import Callable

from keiji.errors import WorkspaceMissing
from keiji.policy import Overlap
from keiji_engine.bus.views import LinkState, ServiceStatus, TaskView
from keiji_tui.actions.action import Action, ActionContext, Risk, Rule, Scope, always

_READONLY = "this is a read-only terminal (--readonly)"


def _writing(action_context: ActionContext) -> str:
    if action_context.readonly:
        return _READONLY
    return {
        LinkState.LIVE: "",
        LinkState.CONNECTING: "still connecting to the engine",
        LinkState.STALE: "the engine does not answer; what is shown may be old",
        LinkState.OFFLINE: _offline(action_context),
    }[action_context.link]


def _reading(action_context: ActionContext) -> str:
    return _offline(action_context) if action_context.link is LinkState.OFFLINE else ""


def _offline(action_context: ActionContext) -> str:
    key = BY_ID["start-engine"].key
    if action_context.engine_lives:
        return f"the engine does not answer – {key} wakes it"
    return _in_the_way(action_context) or f"the engine is offline – {key} starts it"


def _in_the_way(action_context: ActionContext) -> str:
    """Return why no engine can be started, "" where one can."""
    trouble = action_context.trouble
    if isinstance(trouble, WorkspaceMissing):
        return f"{trouble.message} – {BY_ID['make-workspace'].key} makes it"
    return trouble.message if trouble else ""


def _with_task(check: Callable[[TaskView], str], link: Rule = _writing) -> Rule:
    def rule(action_context: ActionContext) -> str:
        if action_context.task is None:
            return "no task is selected"
        return link(action_context) or check(action_context.task)

    return rule


def _settled(*verbs: str) -> Rule:
    """Return what refuses a second go while the first one is under way: it would be about a state that is passing."""
    rule = _with_task(_any_task)

    def settled(action_context: ActionContext) -> str:
        is_passing = action_context.task is not None and action_context.pending in verbs
        return rule(action_context) or (f"{action_context.pending} is under way" if is_passing else "")

    return settled


def _any_task(_: TaskView) -> str:
    return ""


def _built(task: TaskView) -> str:
    return "" if task.build else f"{task.name} is not built yet – {BY_ID['build'].key} builds it"


def _can_run(task: TaskView) -> str:
    skips = task.overlap == Overlap.SKIP  # any other policy queues, replaces or allows it
    return f"{task.name} is running already" if task.is_running and skips else _built(task)


def _can_stop(task: TaskView) -> str:
    waits = task.is_running or task.is_queued or task.retry_at is not None
    return "" if waits else f"{task.name} is not running"


def _can_restart(task: TaskView) -> str:
    return f"{task.name} is disabled – {BY_ID['toggle'].key} enables it" if task.is_disabled else _built(task)


def _with_service(*fitting: ServiceStatus) -> Rule:
    def rule(action_context: ActionContext) -> str:
        if action_context.service is None:
            return "no service is selected"
        service = action_context.service
        return _writing(action_context) or ("" if service.status in fitting else f"{service.name} is {service.status}")

    return rule


def _can_edit(action_context: ActionContext) -> str:
    if action_context.task is None:
        return "no task is selected"
    return _READONLY if action_context.readonly else ""


def _can_start_engine(action_context: ActionContext) -> str:
    if action_context.readonly:
        return _READONLY
    if action_context.link is not LinkState.OFFLINE:
        return "the engine is running"
    return "" if action_context.engine_lives else _in_the_way(action_context)


def _can_make_workspace(action_context: ActionContext) -> str:
    if action_context.readonly:
        return _READONLY
    return "" if isinstance(action_context.trouble, WorkspaceMissing) else "there is a workspace already"


def _offer_here(action_context: ActionContext) -> str:
    if action_context.is_offered:
        return ""
    there = f"{BY_ID['offered'].key} goes to the task whose sources differ"
    return there if action_context.offers else "no sources differ from their build"


def _offer_anywhere(action_context: ActionContext) -> str:
    return "" if action_context.offers else "no sources differ from their build"


def _toggle_label(action_context: ActionContext) -> str:
    if action_context.task is None:
        return "enable/disable"
    return "enable" if action_context.task.is_disabled else "disable"


def _pause_label(action_context: ActionContext) -> str:
    if action_context.task is None:
        return "pause/resume"
    return "resume" if action_context.task.pause else "pause"


def _pause_all_label(action_context: ActionContext) -> str:
    return "resume all" if action_context.pause else "pause all"


_E, _L, _T, _G, _S = Scope.EVERYWHERE, Scope.LIST, Scope.TASK, Scope.LOG, Scope.SERVICE
_A, _X, _D = Scope.TASKS, Scope.TEXT, Scope.LEDGER
_RUNNING = (ServiceStatus.ONLINE, ServiceStatus.DEGRADED, ServiceStatus.STARTING)
_STOPPED = (ServiceStatus.OFFLINE, ServiceStatus.FAILED)

ACTIONS: tuple[Action, ...] = (
    Action("toggle", ("e",), "enable/disable", "enable, or disable and stop live runs", _T,
           Risk.ENDING, _settled("enable", "disable"), footer=11, label_now=_toggle_label),
    Action("pause", ("p",), "pause/resume", "pause or resume the schedule; live runs continue", _T,
           Risk.UNDOABLE, _settled("pause", "resume"), footer=11, label_now=_pause_label),
    Action("restart", ("R",), "restart", "stop live runs and restart the schedule", _T,
           Risk.CONFIRM, _with_task(_can_restart), footer=13),
    Action("run", ("r",), "run", "run the task now", _T, Risk.NONE, _with_task(_can_run), footer=12),
    Action("stop", ("x",), "stop", "stop live runs and cancel a retry", _T,
           Risk.CONFIRM, _with_task(_can_stop), footer=14),
    Action("build", ("b",), "build", "build the task; restart it if sources changed", _T,
           Risk.NONE, _with_task(_any_task), footer=15),
    Action("difference", ("d",), "difference", "compare the sources with the active build", _T,
           Risk.NONE, _with_task(_built, _reading)),
    Action("dismiss", ("L",), "later", "hide the rebuild offer until further changes", _T, Risk.NONE, _offer_here),
    Action("output", ("B",), "build output", "show the output of the last build", _T,
           Risk.NONE, _with_task(_any_task, always)),
    Action("offered", ("u",), "go to changed", "select the task with changed sources", _T, Risk.NONE, _offer_anywhere),
    Action("detail", ("enter",), "details", "show all details of the task", _T,
           Risk.NONE, _with_task(_any_task, always), footer=18),
    Action("history", ("H",), "history", "show the runs of the task", _T,
           Risk.NONE, _with_task(_any_task, _reading), footer=17),
    Action("why", ("w",), "why", "explain why the task does not run", _T,
           Risk.NONE, _with_task(_any_task, always), footer=16),
    Action("resolve", ("A",), "resolve", "clear the error and end a hold", _T,
           Risk.NONE, _with_task(lambda task: "" if task.is_error else f"{task.name} has no error"), footer=11),
    Action("delete", ("D",), "delete", "delete the task but keep its sources", _T,
           Risk.TYPED, _with_task(_any_task), footer=30),
    Action("edit", ("E",), "edit", "edit function.py in $VISUAL or $EDITOR", _T, Risk.NONE, _can_edit),
    Action("mark", ("space",), "mark", "mark the task and move down", _A, Risk.NONE, _with_task(_any_task, always)),
    Action("status", ("f",), "status", "filter by state", _A),
    Action("sort", ("S",), "sort", "sort by the next column", _A),
    Action("reverse", ("I",), "reverse", "reverse the sort order", _A),
    Action("copy", ("y",), "copy name", "copy the name of the task", _A, Risk.NONE, _with_task(_any_task, always)),
    Action("copy-command", ("Y",), "copy command", "copy the command that runs the task", _A,
           Risk.NONE, _with_task(_any_task, always)),
    Action("new-task", ("N",), "new task", "create a task", _A, Risk.NONE, _writing, footer=31),
    Action("start-service", ("s",), "start", "start the service", _S, Risk.NONE, _with_service(*_STOPPED), footer=11),
    Action("stop-service", ("x",), "stop", "stop the service", _S, Risk.CONFIRM, _with_service(*_RUNNING), footer=12),
    Action("restart-service", ("R",), "restart", "restart the service", _S,
           Risk.CONFIRM, _with_service(*_RUNNING, *_STOPPED), footer=13),
    Action("service-log", ("enter", "l"), "log", "show the log of the service", _S, footer=14),
    Action("engine-log", ("a",), "all logs", "show all service logs, or one", _S, footer=15),
    Action("run-log", ("enter",), "log", "show the log of the run", Scope.RUN, footer=11),
    Action("runs-kind", ("f",), "result", "filter by result", Scope.RUN, footer=11),
    Action("copy-run", ("y",), "copy id", "copy the id of the run", Scope.RUN),
    Action("follow", ("f", "G", "end"), "follow", "follow the end of the log", _G, call="follow", footer=10),
    Action("log-top", ("g", "home"), "oldest", "go to the oldest line", _G, call="to_top"),
    Action("log-find", ("slash",), "find", "search for a regular expression", _G, call="pane('find')", footer=11),
    Action("log-next", ("n",), "next", "go to the next match", _G, call="pane('next')", footer=11),
    Action("log-previous", ("N",), "previous", "go to the previous match", _G, call="pane('previous')", footer=11),
    Action("log-filter", ("ampersand",), "filter", "show only matching lines (!: all others)", _G,
           call="pane('filter')", footer=12),
    Action("log-stream", ("O",), "out/err", "switch between stdout, stderr and both", _G,
           call="pane('stream')", footer=16),
    Action("log-previous-run", ("left_square_bracket",), "↑ run", "go to the previous start of a run", _G,
           call="pane('previous_run')", footer=13),
    Action("log-next-run", ("right_square_bracket",), "↓ run", "go to the next start of a run", _G,
           call="pane('next_run')", footer=13),
    Action("log-mark", ("m",), "mark", "draw or remove a mark at the bottom", _G, call="mark", footer=20),
    Action("log-to-mark", ("M",), "to mark", "go to the previous mark", _G, call="to_mark"),
    Action("log-wrap", ("w",), "wrap", "wrap or cut long lines", _G, call="wrap", footer=14),
    Action("log-times", ("t",), "times", "cycle through times, dates and no times", _G, call="times", footer=15),
    Action("log-copy", ("y",), "copy", "copy the selection, match or visible text", _G, call="pane('copy')", footer=17),
    Action("log-save", ("ctrl+s",), "save", "save the run or the filtered lines", _G, call="pane('save')", footer=18),
    Action("log-pager", ("o",), "pager", "open the log in $PAGER", _G, call="pane('pager')", footer=19),
    Action("log-down", ("j", "down"), "down", "scroll down one line", _G, call="lines(1)"),
    Action("log-up", ("k", "up"), "up", "scroll up one line and stop following", _G, call="lines(-1)"),
    Action("log-half-down", ("ctrl+d", "pagedown"), "half a page", "scroll down half a page", _G, call="half(1)"),
    Action("log-half-up", ("ctrl+u", "pageup"), "half a page up", "scroll up half a page", _G, call="half(-1)"),
    Action("log-right", ("right",), "right", "scroll right", _G, call="pan(16)"),
    Action("log-left", ("left",), "left", "scroll left", _G, call="pan(-16)"),
    Action("said", ("enter",), "output", "show the full output of the directive", _D, footer=11),
    Action("ledger-kind", ("f",), "stage", "filter by stage or sender", _D, footer=11),
    Action("copy-directive", ("y",), "copy command", "copy the equivalent command", _D, footer=12),
    Action("copy-due", ("y",), "copy name", "copy the name of the task", Scope.DAY),
    Action("next-part", ("right_square_bracket",), "next section", "go to the next section or file", _X,
           call="section(1)", footer=11),
    Action("previous-part", ("left_square_bracket",), "previous section", "go to the previous section or file", _X,
           call="section(-1)"),
    Action("text-right", ("right",), "right", "scroll right", _X, call="pan(16)"),
    Action("text-left", ("left",), "left", "scroll left", _X, call="pan(-16)"),
    Action("down", ("j", "down"), "down", "move down one row", _L, call="rows(1)"),
    Action("up", ("k", "up"), "up", "move up one row", _L, call="rows(-1)"),
    Action("first", ("g", "home"), "first", "go to the first row", _L, call="to_row(0)"),
    Action("last", ("G", "end"), "last", "go to the last row", _L, call="to_row(-1)"),
    Action("half-down", ("ctrl+d", "pagedown"), "half a page", "move down half a page", _L, call="half(1)"),
    Action("half-up", ("ctrl+u", "pageup"), "half a page up", "move up half a page", _L, call="half(-1)"),
    Action("tasks", ("1",), "tasks", "show the list of tasks", _E),
    Action("runs", ("2",), "runs", "show the runs of the selected task", _E,
           Risk.NONE, _with_task(_any_task, _reading)),
    Action("logs", ("l", "3"), "log", "show the log of the task full-screen", _E,
           Risk.NONE, _with_task(_any_task, always), footer=16),
    Action("services", ("4",), "services", "show the services of the engine", _E, footer=32),
    Action("ledger", ("5",), "ledger", "show all directives and their outcomes", _E, footer=33),
    Action("upcoming", ("6",), "next 24 h", "show what is due within 24 hours", _E, footer=34),
    Action("pause-all", ("P",), "pause/resume all", "pause or resume all schedules", _E,
           Risk.REASON, _writing, label_now=_pause_all_label),
    Action("filter", ("slash",), "filter", "filter the list by text", _E),
    Action("panes", ("tab",), "other pane", "switch between table and log", _E),
    Action("theme", ("T",), "theme", "choose a colour theme", _E),
    Action("zoom", ("z",), "maximise", "maximise or restore the focused pane", _E),
    Action("start-engine", ("s",), "start engine", "start the engine or its stopped services", _E,
           Risk.NONE, _can_start_engine, footer=10),
    Action("make-workspace", ("i",), "create workspace", "create the workspace and start the engine", _E,
           Risk.NONE, _can_make_workspace, footer=10),
    Action("back", ("escape",), "back", "close the filter, pane or screen", _E, footer=20),
    Action("help", ("question_mark",), "help", "show the keys that work here", _E, footer=1),
    Action("palette", ("ctrl+p", "colon", "full_stop"), "palette", "find an action by name", _E, footer=2),
    Action("quit", ("q", "ctrl+q"), "quit", "quit; the engine keeps running", _E, footer=3),
)  # fmt: skip

BY_ID = {action.id: action for action in ACTIONS}


def of(*places: Scope) -> list[Action]:
    """Return the actions of some places, in the order of their declaration."""
    return [action for action in ACTIONS if action.place in places]


def footer(*places: Scope) -> list[Action]:
    """Return what a footer shows for some places: what they are about first, then what works everywhere."""
    chosen = [action for action in of(*places, Scope.EVERYWHERE) if action.footer]
    return sorted(chosen, key=lambda action: action.footer)
