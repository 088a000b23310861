"""Every key, declared once: what it is called, what it does, how much harm it can do, and when it is allowed.

Footer, help, palette and bindings all come from `ACTIONS`. Pure: no toolkit.
"""

from __future__ import annotations

from collections.abc import Callable

from keiji.errors import WorkspaceMissing
from keiji.policy import Overlap
from keiji_engine.bus.views import LinkState, ServiceStatus, TaskView
from keiji_tui.actions import Action, Place, Risk, Rule, Situation, always

_READONLY = "this is a read-only terminal (--readonly)"


def _writing(situation: Situation) -> str:
    if situation.readonly:
        return _READONLY
    return {
        LinkState.LIVE: "",
        LinkState.CONNECTING: "still connecting to the engine",
        LinkState.STALE: "the engine does not answer; what is shown may be old",
        LinkState.OFFLINE: _offline(situation),
    }[situation.link]


def _reading(situation: Situation) -> str:
    return _offline(situation) if situation.link is LinkState.OFFLINE else ""


def _offline(situation: Situation) -> str:
    key = BY_ID["start-engine"].key
    if situation.engine_lives:
        return f"the engine does not answer – {key} wakes it"
    return _in_the_way(situation) or f"the engine is offline – {key} starts it"


def _in_the_way(situation: Situation) -> str:
    """Return why no engine can be started, "" where one can."""
    trouble = situation.trouble
    if isinstance(trouble, WorkspaceMissing):
        return f"{trouble.message} – {BY_ID['make-workspace'].key} makes it"
    return trouble.message if trouble else ""


def _with_task(check: Callable[[TaskView], str], link: Rule = _writing) -> Rule:
    def rule(situation: Situation) -> str:
        if situation.task is None:
            return "no task is selected"
        return link(situation) or check(situation.task)

    return rule


def _settled(*verbs: str) -> Rule:
    """Return what refuses a second go while the first one is under way: it would be about a state that is passing."""
    rule = _with_task(_any_task)

    def settled(situation: Situation) -> str:
        is_passing = situation.task is not None and situation.pending in verbs
        return rule(situation) or (f"{situation.pending} is under way" if is_passing else "")

    return settled


def _any_task(_: TaskView) -> str:
    return ""


def _built(task: TaskView) -> str:
    return "" if task.build else f"{task.name} is not built yet – {BY_ID['build'].key} builds it"


def _can_run(task: TaskView) -> str:
    is_single = task.overlap != Overlap.ALLOW  # how many may run beside it, the engine says
    return f"{task.name} is running already" if task.is_running and is_single else _built(task)


def _can_stop(task: TaskView) -> str:
    waits = task.is_running or task.is_queued or task.retry_at is not None
    return "" if waits else f"{task.name} is not running"


def _can_restart(task: TaskView) -> str:
    return f"{task.name} is disabled – {BY_ID['toggle'].key} enables it" if task.is_disabled else _built(task)


def _with_service(*fitting: ServiceStatus) -> Rule:
    def rule(situation: Situation) -> str:
        if situation.service is None:
            return "no service is selected"
        service = situation.service
        return _writing(situation) or ("" if service.status in fitting else f"{service.name} is {service.status}")

    return rule


def _can_edit(situation: Situation) -> str:
    if situation.task is None:
        return "no task is selected"
    return _READONLY if situation.readonly else ""


def _can_start_engine(situation: Situation) -> str:
    if situation.readonly:
        return _READONLY
    if situation.link is not LinkState.OFFLINE:
        return "the engine is running"
    return "" if situation.engine_lives else _in_the_way(situation)


def _can_make_workspace(situation: Situation) -> str:
    if situation.readonly:
        return _READONLY
    return "" if isinstance(situation.trouble, WorkspaceMissing) else "there is a workspace already"


def _offer_here(situation: Situation) -> str:
    if situation.is_offered:
        return ""
    there = f"{BY_ID['offered'].key} goes to the task whose sources differ"
    return there if situation.offers else "no sources differ from their build"


def _offer_anywhere(situation: Situation) -> str:
    return "" if situation.offers else "no sources differ from their build"


def _toggle_label(situation: Situation) -> str:
    if situation.task is None:
        return "enable/disable"
    return "enable" if situation.task.is_disabled else "disable"


def _pause_label(situation: Situation) -> str:
    if situation.task is None:
        return "pause/resume"
    return "resume" if situation.task.pause else "pause"


def _pause_all_label(situation: Situation) -> str:
    return "resume all" if situation.pause else "pause all"


_E, _L, _T, _G, _S = Place.EVERYWHERE, Place.LIST, Place.TASK, Place.LOG, Place.SERVICE
_A, _X, _D = Place.TASKS, Place.TEXT, Place.LEDGER
_RUNNING = (ServiceStatus.ONLINE, ServiceStatus.STARTING)
_STOPPED = (ServiceStatus.OFFLINE, ServiceStatus.FAILED)

ACTIONS: tuple[Action, ...] = (
    Action("toggle", ("e",), "enable/disable", "enable the task, or disable it and stop its run", _T,
           Risk.ENDING, _settled("enable", "disable"), footer=11, label_now=_toggle_label),
    Action("pause", ("p",), "pause/resume", "start nothing that is due of the task, or let it go on; what runs goes on",
           _T, Risk.UNDOABLE, _settled("pause", "resume"), footer=11, label_now=_pause_label),
    Action("restart", ("R",), "restart", "stop the task's run and count its schedule anew", _T,
           Risk.CONFIRM, _with_task(_can_restart), footer=13),
    Action("run", ("r",), "run", "run the task now, whatever its schedule says", _T,
           Risk.NONE, _with_task(_can_run), footer=12),
    Action("stop", ("x",), "stop", "stop the task's run, or give up its retry", _T,
           Risk.CONFIRM, _with_task(_can_stop), footer=14),
    Action("build", ("b",), "build", "build the task's sources; where they differ, also restart it", _T,
           Risk.NONE, _with_task(_any_task), footer=15),
    Action("difference", ("d",), "difference", "how the sources of the task differ from its build, by file", _T,
           Risk.NONE, _with_task(_built, _reading)),
    Action("dismiss", ("L",), "later", "put the rebuild offer aside until the sources change again", _T,
           Risk.NONE, _offer_here),
    Action("output", ("B",), "build output", "what the last build of the task said, all of it", _T,
           Risk.NONE, _with_task(_any_task, always)),
    Action("offered", ("u",), "go to offer", "go to the task whose sources differ from its build", _T,
           Risk.NONE, _offer_anywhere),
    Action("detail", ("enter",), "detail", "everything about the task on one page", _T,
           Risk.NONE, _with_task(_any_task, always), footer=18),
    Action("history", ("H",), "history", "the runs of the task, newest first", _T,
           Risk.NONE, _with_task(_any_task, _reading), footer=17),
    Action("why", ("w",), "why", "why the task does not run now, when it is due next, and its policy", _T,
           Risk.NONE, _with_task(_any_task, always), footer=16),
    Action("resolve", ("A",), "resolve", "clear the task's error; one that is held runs again", _T,
           Risk.NONE, _with_task(lambda task: "" if task.is_error else f"{task.name} has no error"), footer=11),
    Action("delete", ("D",), "delete", "forget the task: record, history, logs and builds; its sources stay", _T,
           Risk.TYPED, _with_task(_any_task), footer=30),
    Action("edit", ("E",), "edit", "open the task's function.py in $VISUAL or $EDITOR", _T, Risk.NONE, _can_edit),
    Action("mark", ("space",), "mark", "mark the task and go on to the next; task keys are about all that are marked",
           _A, Risk.NONE, _with_task(_any_task, always)),
    Action("status", ("f",), "status", "show only what runs; then what fails, is held or paused, disabled, differs, "
           "is not built; then all", _A),
    Action("sort", ("S",), "sort", "sort by the next column: name, next run, last run, duration, state", _A),
    Action("reverse", ("I",), "reverse", "sort the other way round", _A),
    Action("copy", ("y",), "copy name", "copy the name of the task, or of all that are marked", _A,
           Risk.NONE, _with_task(_any_task, always)),
    Action("copy-command", ("Y",), "copy command", "copy the command that runs the task, or all that are marked", _A,
           Risk.NONE, _with_task(_any_task, always)),
    Action("new-task", ("N",), "new task", "make a task: its name, what it is for, when it runs", _A,
           Risk.NONE, _writing, footer=31),
    Action("start-service", ("s",), "start", "start the service", _S, Risk.NONE, _with_service(*_STOPPED), footer=11),
    Action("stop-service", ("x",), "stop", "stop the service", _S, Risk.CONFIRM, _with_service(*_RUNNING), footer=12),
    Action("restart-service", ("R",), "restart", "stop and start the service", _S,
           Risk.CONFIRM, _with_service(*_RUNNING, *_STOPPED), footer=13),
    Action("service-log", ("enter", "l"), "log", "what the service writes about itself, on the whole screen, also "
           "while no engine lives", _S, footer=14),
    Action("engine-log", ("a",), "all logs", "what all services write, as one by time, or that of the selected one", _S,
           footer=15),
    Action("run-log", ("enter",), "log", "the log at the run; of one that failed, at its last error line", Place.RUN,
           footer=11),
    Action("runs-kind", ("f",), "kind", "show only what ran; then what failed, what did not run; then all", Place.RUN,
           footer=11),
    Action("copy-run", ("y",), "copy id", "copy the id of the run, or of all that share the row", Place.RUN),
    Action("follow", ("f", "G", "end"), "follow", "go to the end of the log and stay there", _G, call="follow",
           footer=10),
    Action("log-top", ("g", "home"), "oldest", "go to the oldest line that is kept", _G, call="to_top"),
    Action("log-find", ("slash",), "find", "look for a regular expression, from here back and then on", _G,
           call="pane('find')", footer=11),
    Action("log-next", ("n",), "next", "the next match, further down", _G, call="pane('next')", footer=11),
    Action("log-previous", ("N",), "previous", "the match before, further up", _G, call="pane('previous')",
           footer=11),
    Action("log-filter", ("ampersand",), "only", "only lines with a regular expression; ! in front: all but those", _G,
           call="pane('filter')", footer=12),
    Action("log-stream", ("O",), "out/err", "what was printed to standard output, to standard error, both", _G,
           call="pane('stream')", footer=16),
    Action("log-previous-run", ("left_square_bracket",), "↑ run", "where this run begins, then the run before", _G,
           call="pane('previous_run')", footer=13),
    Action("log-next-run", ("right_square_bracket",), "↓ run", "where the next run begins", _G,
           call="pane('next_run')", footer=13),
    Action("log-mark", ("m",), "mark", "draw a line under what is on the screen, or take it away", _G, call="mark",
           footer=20),
    Action("log-to-mark", ("M",), "to mark", "the mark before, further up; then the newest one", _G, call="to_mark"),
    Action("log-wrap", ("w",), "wrap", "long lines on several rows, or cut off", _G, call="wrap", footer=14),
    Action("log-times", ("t",), "times", "the time of each line, with the date, or not at all", _G, call="times",
           footer=15),
    Action("log-copy", ("y",), "copy", "copy what is selected, or the line that was found, or what is visible", _G,
           call="pane('copy')", footer=17),
    Action("log-save", ("ctrl+s",), "save", "save the run on the screen, or all that the filter shows, to a file", _G,
           call="pane('save')", footer=18),
    Action("log-pager", ("o",), "pager", "open the log in $PAGER", _G, call="pane('pager')", footer=19),
    Action("log-down", ("j", "down"), "down", "one line down", _G, call="lines(1)"),
    Action("log-up", ("k", "up"), "up", "one line up; following stops", _G, call="lines(-1)"),
    Action("log-half-down", ("ctrl+d", "pagedown"), "half a page", "half a page down", _G, call="half(1)"),
    Action("log-half-up", ("ctrl+u", "pageup"), "half a page up", "half a page up", _G, call="half(-1)"),
    Action("log-right", ("right",), "right", "show what is cut off on the right", _G, call="pan(16)"),
    Action("log-left", ("left",), "left", "back to the left", _G, call="pan(-16)"),
    Action("said", ("enter",), "all of it", "everything that was said of the directive", _D, footer=11),
    Action("ledger-kind", ("f",), "kind", "show only what was refused or lost; then what is under way, what "
           "keiji-tui sent; then all", _D, footer=11),
    Action("copy-directive", ("y",), "copy command", "copy the command that does the same", _D, footer=12),
    Action("copy-due", ("y",), "copy name", "copy the name of the task", Place.DAY),
    Action("next-part", ("right_square_bracket",), "next file", "where the next part or file begins", _X,
           call="part(1)", footer=11),
    Action("previous-part", ("left_square_bracket",), "previous file", "where this part or the one before it begins",
           _X, call="part(-1)"),
    Action("text-right", ("right",), "right", "show what is cut off on the right", _X, call="pan(16)"),
    Action("text-left", ("left",), "left", "back to the left", _X, call="pan(-16)"),
    Action("down", ("j", "down"), "down", "one row down", _L, call="rows(1)"),
    Action("up", ("k", "up"), "up", "one row up", _L, call="rows(-1)"),
    Action("first", ("g", "home"), "first", "the first row", _L, call="to_row(0)"),
    Action("last", ("G", "end"), "last", "the last row", _L, call="to_row(-1)"),
    Action("half-down", ("ctrl+d", "pagedown"), "half a page", "half a page down", _L, call="half(1)"),
    Action("half-up", ("ctrl+u", "pageup"), "half a page up", "half a page up", _L, call="half(-1)"),
    Action("tasks", ("1",), "tasks", "the tasks", _E),
    Action("runs", ("2",), "runs", "the runs of the selected task", _E,
           Risk.NONE, _with_task(_any_task, _reading)),
    Action("logs", ("l", "3"), "log", "the log of the task on the whole screen; of all that are marked, as one", _E,
           Risk.NONE, _with_task(_any_task, always), footer=16),
    Action("services", ("4",), "services", "bus, scheduler, runner and watcher", _E, footer=32),
    Action("ledger", ("5",), "ledger", "everything that the engine was asked to do, and what became of it", _E,
           footer=33),
    Action("upcoming", ("6",), "next 24 h", "when all tasks are due within the next 24 hours", _E, footer=34),
    Action("pause-all", ("P",), "pause/resume all", "start nothing that is due of any task, or let all go on", _E,
           Risk.REASON, _writing, label_now=_pause_all_label),
    Action("filter", ("slash",), "filter", "show only rows with certain letters; where there is no list, tasks with "
           "them in their name", _E),
    Action("panes", ("tab",), "other pane", "from the table to the log and back", _E),
    Action("theme", ("T",), "theme", "choose the colours; they are remembered", _E),
    Action("zoom", ("z",), "maximise", "the focused pane on the whole screen, and back", _E),
    Action("start-engine", ("s",), "start engine", "start the engine in the background, or what is stopped of it", _E,
           Risk.NONE, _can_start_engine, footer=10),
    Action("make-workspace", ("i",), "make workspace", "make the workspace, as keiji init does, and start the engine",
           _E, Risk.NONE, _can_make_workspace, footer=10),
    Action("back", ("escape",), "back", "close what is open: filter, whole-screen pane, screen", _E, footer=20),
    Action("help", ("question_mark",), "help", "the keys that work here", _E, footer=1),
    Action("palette", ("ctrl+p", "colon", "full_stop"), "palette", "every action by its name", _E, footer=2),
    Action("quit", ("q", "ctrl+q"), "quit", "leave; the engine and its tasks keep running", _E, footer=3),
)  # fmt: skip

BY_ID = {action.id: action for action in ACTIONS}


def of(*places: Place) -> list[Action]:
    """Return the actions of some places, in the order of their declaration."""
    return [action for action in ACTIONS if action.place in places]


def footer(*places: Place) -> list[Action]:
    """Return what a footer shows for some places: what they are about first, then what works everywhere."""
    chosen = [action for action in of(*places, Place.EVERYWHERE) if action.footer]
    return sorted(chosen, key=lambda action: action.footer)
