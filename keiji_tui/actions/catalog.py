"""All actions: keys, labels, help, risk, and when each is disabled.

The footer, the help, the palette and all bindings are derived from `ACTIONS`. Pure: Textual is not imported.
"""

from __future__ import annotations

from collections.abc import Callable

from keiji.errors import WorkspaceMissing
from keiji.policy import Overlap
from keiji.states import OPEN, BackfillState
from keiji_engine.bus.views import LinkState, ServiceStatus, TaskView
from keiji_tui.actions.action import Action, ActionContext, Risk, Rule, Scope, always

_READONLY = "the terminal is read-only (--readonly)"


def _can_write(context: ActionContext) -> str:
    if context.readonly:
        return _READONLY
    return {
        LinkState.LIVE: "",
        LinkState.CONNECTING: "still connecting to the engine",
        LinkState.STALE: "the engine is not responding; the data may be out of date",
        LinkState.OFFLINE: _offline(context),
    }[context.link]


def _can_read(context: ActionContext) -> str:
    return _offline(context) if context.link is LinkState.OFFLINE else ""


def _offline(context: ActionContext) -> str:
    key = BY_ID["start-engine"].key
    if context.engine_lives:
        return f"the engine is not responding – press {key} to start its services"
    return _start_problem(context) or f"the engine is offline – press {key} to start it"


def _start_problem(context: ActionContext) -> str:
    """Return why the engine cannot start; "" if it can."""
    trouble = context.trouble
    if isinstance(trouble, WorkspaceMissing):
        return f"{trouble.message} – press {BY_ID['make-workspace'].key} to create it"
    return trouble.message if trouble else ""


def _for_task(check: Callable[[TaskView], str], link: Rule = _can_write) -> Rule:
    def rule(context: ActionContext) -> str:
        if context.task is None:
            return "no task is selected"
        return link(context) or check(context.task)

    return rule


def _not_pending(*verbs: str) -> Rule:
    """Return a rule that disables an action while one of ``verbs`` is pending, because the state is about to change."""
    needs_task = _for_task(_any_task)

    def rule(context: ActionContext) -> str:
        is_pending = context.task is not None and context.pending in verbs
        return needs_task(context) or (f"{context.pending} is in progress" if is_pending else "")

    return rule


def _any_task(_: TaskView) -> str:
    return ""


def _is_built(task: TaskView) -> str:
    return "" if task.build else f"{task.name} is not built yet – press {BY_ID['build'].key} to build it"


def _can_run(task: TaskView) -> str:
    skips = task.overlap == Overlap.SKIP  # every other policy queues, replaces or allows a second run
    return f"{task.name} is already running" if task.is_running and skips else _is_built(task)


def _can_stop(task: TaskView) -> str:
    has_run = task.is_running or task.is_queued or task.retry_at is not None
    return "" if has_run else f"{task.name} is not running"


def _can_restart(task: TaskView) -> str:
    return (
        f"{task.name} is disabled – press {BY_ID['toggle'].key} to enable it" if task.is_disabled else _is_built(task)
    )


def _has_error(task: TaskView) -> str:
    return "" if task.is_error else f"{task.name} has no error"


def _for_service(*allowed: ServiceStatus) -> Rule:
    def rule(context: ActionContext) -> str:
        if context.service is None:
            return "no service is selected"
        service = context.service
        return _can_write(context) or ("" if service.status in allowed else f"{service.name} is {service.status}")

    return rule


def _can_rerun(context: ActionContext) -> str:
    run = context.run
    if run is None:
        return "no run is selected"
    if run.state in OPEN:
        return f"the run has not ended: it is {run.state}"
    if run.count > 1:
        return f"this row stands for {run.count} occurrences – press {BY_ID['backfill'].key} to run each of them"
    return _for_task(_can_run)(context)


def _can_backfill(task: TaskView) -> str:
    return _is_built(task) or ("" if task.type not in _EVENTS else f"{task.name} has no schedule, only events")


def _for_backfill(state: BackfillState, problem: str) -> Rule:
    def rule(context: ActionContext) -> str:
        backfill = context.backfill
        if backfill is None:
            return "no backfill is selected"
        return _can_write(context) or ("" if backfill.state is state else f"backfill {backfill.id} {problem}")

    return rule


def _can_edit(context: ActionContext) -> str:
    if context.task is None:
        return "no task is selected"
    return _READONLY if context.readonly else ""


def _can_start_engine(context: ActionContext) -> str:
    if context.readonly:
        return _READONLY
    if context.link is not LinkState.OFFLINE:
        return "the engine is running"
    return "" if context.engine_lives else _start_problem(context)


def _can_make_workspace(context: ActionContext) -> str:
    if context.readonly:
        return _READONLY
    return "" if isinstance(context.trouble, WorkspaceMissing) else "the workspace already exists"


def _has_offer(context: ActionContext) -> str:
    if context.is_offered:
        return ""
    hint = f"press {BY_ID['offered'].key} to go to the task with changed sources"
    return hint if context.offers else "no task has changed sources"


def _has_offers(context: ActionContext) -> str:
    return "" if context.offers else "no task has changed sources"


def _toggle_label(context: ActionContext) -> str:
    if context.task is None:
        return "enable/disable"
    return "enable" if context.task.is_disabled else "disable"


def _pause_label(context: ActionContext) -> str:
    if context.task is None:
        return "pause/resume"
    return "resume" if context.task.pause else "pause"


def _pause_all_label(context: ActionContext) -> str:
    return "resume all" if context.pause else "pause all"


_EVENTS = ("Manual", "AtStart", "OnChange")  # types of tasks without instants
_E, _L, _T, _G, _S = Scope.EVERYWHERE, Scope.LIST, Scope.TASK, Scope.LOG, Scope.SERVICE
_B = Scope.BACKFILL
_A, _X, _D, _P, _C = Scope.TASKS, Scope.TEXT, Scope.LEDGER, Scope.DIALOG, Scope.CONFIRMATION
_RUNNING = (ServiceStatus.ONLINE, ServiceStatus.DEGRADED, ServiceStatus.STARTING)
_STOPPED = (ServiceStatus.OFFLINE, ServiceStatus.FAILED)

ACTIONS: tuple[Action, ...] = (
    Action("toggle", ("e",), "enable/disable", "enable, or disable and stop live runs", _T,
           "app.send('toggle')", Risk.ENDING, _not_pending("enable", "disable"), footer=15, label_in=_toggle_label),
    Action("pause", ("p",), "pause/resume", "pause or resume the schedule; live runs continue", _T,
           "app.send('pause')", Risk.UNDOABLE, _not_pending("pause", "resume"), footer=15, label_in=_pause_label),
    Action("restart", ("R",), "restart", "stop live runs and restart the schedule", _T,
           "app.send('restart')", Risk.CONFIRM, _for_task(_can_restart), footer=18),
    Action("run", ("r",), "run", "run the task now", _T,
           "app.send('run')", disabled_reason=_for_task(_can_run), footer=13),
    Action("stop", ("x",), "stop", "stop live runs and cancel a retry", _T,
           "app.send('stop')", Risk.CONFIRM, _for_task(_can_stop), footer=14),
    Action("build", ("b",), "build", "build the task; restart it if sources changed", _T,
           "app.send('build')", disabled_reason=_for_task(_any_task), footer=17),
    Action("difference", ("d",), "difference", "compare the sources with the active build", _T,
           "app.show_difference", disabled_reason=_for_task(_is_built, _can_read)),
    Action("dismiss", ("L",), "hide offer", "hide the rebuild offer until further changes", _T,
           "screen.hide_offer", disabled_reason=_has_offer),
    Action("output", ("B",), "build output", "show the output of the last build", _T,
           "app.show_build_output", disabled_reason=_for_task(_any_task, always)),
    Action("offered", ("u",), "go to changed", "select the task with changed sources", _T,
           "app.select_changed", disabled_reason=_has_offers),
    Action("detail", ("enter",), "details", "show all details of the task", _T,
           "app.show_detail", disabled_reason=_for_task(_any_task, always), footer=10),
    Action("history", ("H",), "history", "show the runs of the task", _T,
           "app.show_history", disabled_reason=_for_task(_any_task, _can_read), footer=12),
    Action("why", ("w",), "why", "explain why the task does not run", _T,
           "app.explain", disabled_reason=_for_task(_any_task, always), footer=16),
    Action("resolve", ("A",), "resolve", "clear the error and end a hold", _T,
           "app.send('resolve')", disabled_reason=_for_task(_has_error), footer=11),
    Action("delete", ("D",), "delete", "delete the task but keep its sources", _T,
           "app.send('delete')", Risk.TYPED, _for_task(_any_task), footer=30),
    Action("backfill", ("F",), "backfill", "run past instants of the schedule", _T,
           "app.open_backfill_form", disabled_reason=_for_task(_can_backfill)),
    Action("edit", ("E",), "edit", "edit function.py in $VISUAL or $EDITOR", _T, "app.edit", disabled_reason=_can_edit),
    Action("mark", ("space",), "mark", "mark the task and move down", _A,
           "screen.mark_task", disabled_reason=_for_task(_any_task, always)),
    Action("status", ("f",), "next state", "filter by state", _A, "screen.next_status"),
    Action("sort", ("S",), "sort", "sort by the next column", _A, "screen.next_sort"),
    Action("reverse", ("I",), "reverse order", "reverse the sort order", _A, "screen.reverse_sort"),
    Action("copy", ("y",), "copy name", "copy the name of the task", _A,
           "screen.copy_names", disabled_reason=_for_task(_any_task, always)),
    Action("copy-command", ("Y",), "copy command", "copy the command that runs the task", _A,
           "screen.copy_commands", disabled_reason=_for_task(_any_task, always)),
    Action("new-task", ("N",), "new task", "create a task", _A, "app.new_task", disabled_reason=_can_write, footer=31),
    Action("start-service", ("s",), "start", "start the service", _S,
           "screen.start_service", disabled_reason=_for_service(*_STOPPED), footer=11),
    Action("stop-service", ("x",), "stop", "stop the service", _S,
           "app.send('stop-service')", Risk.CONFIRM, _for_service(*_RUNNING), footer=12),
    Action("restart-service", ("R",), "restart", "restart the service", _S,
           "app.send('restart-service')", Risk.CONFIRM, _for_service(*_RUNNING, *_STOPPED), footer=13),
    Action("service-log", ("enter", "l"), "log", "show the log of the service", _S, "screen.open_log", footer=14),
    Action("engine-log", ("a",), "all logs", "show all service logs, or one", _S, "screen.toggle_all_logs", footer=15),
    Action("run-log", ("enter",), "log", "show the log of the run", Scope.RUN, "screen.open_run_log", footer=11),
    Action("runs-category", ("f",), "result", "filter by result", Scope.RUN, "screen.next_category", footer=11),
    Action("rerun", ("a",), "run again", "repeat the run with its parameters and due time", Scope.RUN,
           "app.send('rerun')", Risk.CONFIRM, _can_rerun, footer=12),
    Action("copy-run", ("y",), "copy id", "copy the id of the run", Scope.RUN, "screen.copy_selected"),
    Action("follow", ("f", "G", "end"), "follow", "follow the end of the log", _G, "follow", footer=10),
    Action("log-top", ("g", "home"), "oldest line", "go to the oldest line", _G, "to_top"),
    Action("log-find", ("slash",), "find", "search for a regular expression", _G, "find", footer=11),
    Action("log-next", ("n",), "next", "go to the next match", _G, "next", footer=11),
    Action("log-previous", ("N",), "previous", "go to the previous match", _G, "previous", footer=11),
    Action("log-filter", ("ampersand",), "filter", "show only matching lines (!: all others)", _G,
           "filter", footer=12),
    Action("log-stream", ("O",), "out/err", "switch between stdout, stderr and both", _G, "stream", footer=16),
    Action("log-previous-run", ("left_square_bracket",), "↑ run", "go to the start of the previous run", _G,
           "previous_run", footer=13),
    Action("log-next-run", ("right_square_bracket",), "↓ run", "go to the start of the next run", _G,
           "next_run", footer=13),
    Action("log-mark", ("m",), "mark", "draw or remove a mark at the bottom", _G, "mark", footer=20),
    Action("log-to-mark", ("M",), "previous mark", "go to the previous mark", _G, "to_mark"),
    Action("log-wrap", ("w",), "wrap", "wrap or cut long lines", _G, "wrap", footer=14),
    Action("log-times", ("t",), "times", "cycle through times, dates and no times", _G, "times", footer=15),
    Action("log-copy", ("y",), "copy", "copy the selection, match or visible text", _G, "copy", footer=17),
    Action("log-save", ("ctrl+s",), "save", "save the run or the filtered lines", _G, "save", footer=18),
    Action("log-pager", ("o",), "pager", "open the log in $PAGER", _G, "pager", footer=19),
    Action("log-down", ("j", "down"), "line down", "scroll down one line", _G, "lines(1)"),
    Action("log-up", ("k", "up"), "line up", "scroll up one line and stop following", _G, "lines(-1)"),
    Action("log-half-down", ("ctrl+d", "pagedown"), "half a page down", "scroll down half a page", _G, "half(1)"),
    Action("log-half-up", ("ctrl+u", "pageup"), "half a page up", "scroll up half a page", _G, "half(-1)"),
    Action("log-right", ("right",), "scroll right", "scroll right", _G, "pan(16)"),
    Action("log-left", ("left",), "scroll left", "scroll left", _G, "pan(-16)"),
    Action("directive-output", ("enter",), "output", "show the full output of the directive", _D,
           "screen.show_output", footer=11),
    Action("ledger-category", ("f",), "stage", "filter by stage or sender", _D, "screen.next_category", footer=11),
    Action("copy-directive", ("y",), "copy command", "copy the equivalent command", _D,
           "screen.copy_selected", footer=12),
    Action("backfill-runs", ("enter",), "history", "show the runs of the task", _B,
           "app.show_history", disabled_reason=_for_task(_any_task, _can_read), footer=11),
    Action("stop-backfill", ("x",), "stop", "stop the backfill; live runs continue", _B,
           "app.send('stop-backfill')", Risk.CONFIRM, _for_backfill(BackfillState.RUNNING, "is not running"),
           footer=12),
    Action("resume-backfill", ("c",), "continue", "continue a stopped backfill", _B,
           "app.send('resume-backfill')",
           disabled_reason=_for_backfill(BackfillState.STOPPED, "is not stopped"), footer=13),
    Action("new-backfill", ("N",), "new backfill", "start another backfill of the task", _B,
           "app.open_backfill_form", disabled_reason=_for_task(_can_backfill), footer=14),
    Action("backfills-category", ("f",), "next state", "filter by state", _B, "screen.next_category", footer=15),
    Action("copy-backfill", ("y",), "copy command", "copy the command that stops or continues it", _B,
           "screen.copy_selected"),
    Action("copy-due", ("y",), "copy name", "copy the name of the task", Scope.DAY, "screen.copy_selected"),
    Action("next-part", ("right_square_bracket",), "next section", "go to the next section or file", _X,
           "section(1)", footer=11),
    Action("previous-part", ("left_square_bracket",), "previous section", "go to the previous section or file", _X,
           "section(-1)"),
    Action("text-right", ("right",), "scroll right", "scroll right", _X, "pan(16)"),
    Action("text-left", ("left",), "scroll left", "scroll left", _X, "pan(-16)"),
    Action("text-copy", ("y",), "copy text", "copy the text selected with the mouse", _X, "app.copy_selection"),
    Action("down", ("j", "down"), "row down", "move down one row", _L, "rows(1)"),
    Action("up", ("k", "up"), "row up", "move up one row", _L, "rows(-1)"),
    Action("first", ("g", "home"), "first row", "go to the first row", _L, "to_row(0)"),
    Action("last", ("G", "end"), "last row", "go to the last row", _L, "to_row(-1)"),
    Action("half-down", ("ctrl+d", "pagedown"), "half a page down", "move down half a page", _L, "half(1)"),
    Action("half-up", ("ctrl+u", "pageup"), "half a page up", "move up half a page", _L, "half(-1)"),
    Action("close", ("escape", "q", "enter"), "close", "close the dialog", _P, "dismiss"),
    Action("dialog-down", ("j", "down"), "down", "scroll down one line", _P, "scroll(1)"),
    Action("dialog-up", ("k", "up"), "up", "scroll up one line", _P, "scroll(-1)"),
    Action("dialog-page-down", ("ctrl+d", "pagedown"), "page down", "scroll down ten lines", _P, "scroll(10)"),
    Action("dialog-page-up", ("ctrl+u", "pageup"), "page up", "scroll up ten lines", _P, "scroll(-10)"),
    Action("dialog-copy", ("y",), "copy text", "copy the text selected with the mouse", _P, "app.copy_selection"),
    Action("next-key", ("right", "tab"), "next key", "select the next key", Scope.HELP, "select_key(1)"),
    Action("previous-key", ("left", "shift+tab"), "previous key", "select the previous key", Scope.HELP,
           "select_key(-1)"),
    Action("confirm", ("y",), "yes", "confirm", _C, "answer(True)"),
    Action("cancel", ("n", "escape", "q"), "no", "cancel", _C, "answer(False)"),
    Action("other-button", ("left", "right"), "other button", "go to the other button", _C, "app.focus_next"),
    Action("form-cancel", ("escape",), "cancel", "close the form", Scope.FORM, "cancel", is_fixed=True),
    Action("form-next", ("down",), "next", "go to the next field", Scope.FORM, "app.focus_next", is_fixed=True),
    Action("form-previous", ("up",), "previous", "go to the previous field", Scope.FORM, "app.focus_previous",
           is_fixed=True),
    Action("filter-clear", ("escape",), "show all", "clear the filter", Scope.FILTER, "leave(False)", is_fixed=True),
    Action("filter-keep", ("enter", "down", "tab"), "keep", "keep the filter", Scope.FILTER, "leave(True)",
           is_fixed=True),
    Action("prompt-close", ("escape",), "close", "close the prompt", Scope.PROMPT, "leave", is_fixed=True),
    Action("palette-page-down", ("pagedown",), "page down", "move down a page", Scope.PALETTE, "page(1)",
           is_fixed=True),
    Action("palette-page-up", ("pageup",), "page up", "move up a page", Scope.PALETTE, "page(-1)", is_fixed=True),
    Action("tasks", ("1",), "tasks", "show the list of tasks", _E, "app.show_tasks"),
    Action("runs", ("2",), "runs", "show the runs of the selected task", _E,
           "app.show_history", disabled_reason=_for_task(_any_task, _can_read)),
    Action("logs", ("l", "3"), "log", "show the log of the task full-screen", _E,
           "app.show_log", disabled_reason=_for_task(_any_task, always), footer=11),
    Action("services", ("4",), "services", "show the services of the engine", _E, "app.show_services", footer=32),
    Action("ledger", ("5",), "ledger", "show all directives and their outcomes", _E, "app.show_ledger", footer=33),
    Action("upcoming", ("6",), "next 24 h", "show what is due in the next 24 hours", _E, "app.show_upcoming",
           footer=34),
    Action("backfills", ("7",), "backfills", "show the backfills of all tasks", _E, "app.show_backfills", footer=35),
    Action("pause-all", ("P",), "pause/resume all", "pause or resume all schedules", _E,
           "app.send('pause-all')", Risk.REASON, _can_write, label_in=_pause_all_label),
    Action("filter", ("slash",), "filter", "filter the list by text", _E, "screen.filter"),
    Action("panes", ("tab",), "other pane", "move to the other pane", _E, "screen.other_pane"),
    Action("theme", ("T",), "theme", "choose a colour theme", _E, "app.choose_theme"),
    Action("zoom", ("z",), "maximise", "maximise or restore the focused pane", _E, "screen.zoom"),
    Action("start-engine", ("s",), "start engine", "start the engine or its stopped services", _E,
           "app.start_engine", disabled_reason=_can_start_engine, footer=10),
    Action("make-workspace", ("i",), "create workspace", "create the workspace and start the engine", _E,
           "app.create_workspace", disabled_reason=_can_make_workspace, footer=10),
    Action("back", ("escape",), "back", "close the filter, pane or screen", _E, "screen.back", footer=20),
    Action("help", ("question_mark", "f1"), "help", "show the keys that work here", _E, "app.show_help", footer=1),
    Action("palette", ("ctrl+p", "colon", "full_stop"), "palette", "find an action by name", _E,
           "app.command_palette", footer=2),
    Action("quit", ("q", "ctrl+q"), "quit", "quit; the engine keeps running", _E, "app.quit", footer=3),
)  # fmt: skip

BY_ID = {action.id: action for action in ACTIONS}


def actions_in(*scopes: Scope) -> list[Action]:
    """Return the actions of some scopes, in declaration order."""
    return [action for action in ACTIONS if action.scope in scopes]


def footer_actions(*scopes: Scope) -> list[Action]:
    """Return the footer actions of some scopes, including those that work everywhere."""
    return sorted((action for action in actions_in(*scopes, Scope.EVERYWHERE) if action.footer), key=lambda a: a.footer)
