"""The rows of a history: a run each, and one for all instants in a row that did not run for the same reason. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from itertools import groupby

from keiji.reasons import render
from keiji.records import Run
from keiji.states import FAILURES, NEVER_STARTED, RunState
from keiji_tui.state.list_filter import Category, ListFilter
from keiji_tui.text.format import format_count, format_outcome
from keiji_tui.text.sanitise import plain

_NUMBER = re.compile(r"\d+")


def was_run(run: Run) -> bool:
    """Return whether a run had a process, has one, or is to get one."""
    return run.state not in NEVER_STARTED and (run.state is not RunState.STOPPED or run.started_at is not None)


@dataclass(frozen=True)
class HistoryRow:
    """A run, or several instants without one.

    Args:
        run: of several, the newest, with how many instants they all are, from when, and until when.
        ids: of all of them, the newest first.
        zone: in which moments are shown.
    """

    run: Run
    ids: tuple[str, ...]
    zone: tzinfo = UTC

    @property
    def key(self) -> str:
        """What the row goes by; as what is newer joins it, that stays."""
        return self.ids[-1]

    @property
    def label(self) -> str:
        """How it ended, and for how many instants that goes."""
        word = format_outcome(self.run.state, self.run.exit_code, self.run.signal)
        return word if self.run.count == 1 else f"{word} × {self.run.count:,}"

    @cached_property
    def search_text(self) -> str:
        """The text in which somebody looks for letters."""
        return "\n".join((self.label, render(self.run.reason, self.zone), *self.ids))

    def summary(self, until: str) -> str:
        """Return result and reason in a sentence, and what both say once; "" where there is no reason.

        Args:
            until: the last of several instants, in words.
        """
        reason, word = (
            plain(render(self.run.reason, self.zone)),
            format_outcome(self.run.state, self.run.exit_code, self.run.signal),
        )
        if not reason:
            return ""
        says_both = word in reason or reason == f"exit code {self.run.exit_code}"
        return reason if says_both and not until else f"{self.label}{until}: {reason}"


def history_rows(runs: Sequence[Run], zone: tzinfo = UTC) -> dict[str, HistoryRow]:
    """Return the rows of a history that is given newest first, each by its key."""
    found: list[HistoryRow] = []
    for kind, group in groupby(runs, _group_key):
        alike = list(group)
        found += [_merge(alike, zone)] if kind else [HistoryRow(run, (run.run_id,), zone) for run in alike]
    return {row.key: row for row in found}


def _group_key(run: Run) -> tuple[RunState, str, str] | None:
    """Return what instants without a run have in common that share a row; None for one that has its own.

    The parameters of their reasons differ: how late each was, or since when another run was live.
    """
    if was_run(run):
        return None
    code = run.reason.code if run.reason is not None else ""
    text = str(run.reason.params.get("text", "")) if run.reason is not None else ""
    return run.state, code, _NUMBER.sub("#", text)


def _merge(runs: list[Run], zone: tzinfo) -> HistoryRow:
    newest, oldest, ids = runs[0], runs[-1], tuple(run.run_id for run in runs)
    if len(runs) == 1:
        return HistoryRow(newest, ids, zone)
    count = sum(run.count for run in runs)
    return HistoryRow(
        replace(newest, count=count, scheduled_for=_due(oldest), scheduled_until=_until(newest)), ids, zone
    )


def _due(run: Run) -> datetime:
    return run.scheduled_for or run.created_at


def _until(run: Run) -> datetime:
    return run.scheduled_until or _due(run)


def summarise(found: Iterable[HistoryRow]) -> str:
    """Return how many runs there are, and how many instants without one: "2 runs, 160 not run"."""
    with_run, without = 0, 0
    for row in found:
        if was_run(row.run):
            with_run += 1
        else:
            without += row.run.count
    runs = format_count(with_run, "run")
    return f"{runs}, {without:,} not run" if without else runs


def history_filter() -> ListFilter[HistoryRow]:
    """Return what narrows a history down: to runs, to failures, to what did not run."""
    return ListFilter[HistoryRow](
        lambda row: row.search_text,
        Category("that ran", lambda row: was_run(row.run)),
        Category("that failed", lambda row: row.run.state in FAILURES),
        Category("that did not run", lambda row: not was_run(row.run)),
    )
