"""The rows of a history: one per run, and one per sequence of occurrences skipped for the same reason. Pure."""

from __future__ import annotations

import re
import shlex
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
    """Return whether a run has, had or will have a process, unlike an occurrence that was skipped or missed."""
    return run.state not in NEVER_STARTED and (run.state is not RunState.STOPPED or run.started_at is not None)


@dataclass(frozen=True)
class HistoryRow:
    """A run, or consecutive occurrences without one.

    Args:
        run: the newest occurrence, with the count and the period of all of them.
        ids: the ids of all occurrences, the newest first.
        zone: the time zone in which times are shown.
    """

    run: Run
    ids: tuple[str, ...]
    zone: tzinfo = UTC

    @property
    def key(self) -> str:
        """The id of the oldest occurrence, so that the key stays when newer ones are added."""
        return self.ids[-1]

    @property
    def label(self) -> str:
        """The outcome, with the number of occurrences if there are several."""
        outcome = format_outcome(self.run.state, self.run.exit_code, self.run.signal)
        return outcome if self.run.count == 1 else f"{outcome} × {self.run.count:,}"

    @cached_property
    def search_text(self) -> str:
        """The text that a filter searches."""
        return "\n".join((self.label, render(self.run.reason, self.zone), self.parameters, *self.ids))

    @property
    def parameters(self) -> str:
        """The parameters of the run: "day=2026-11-01 dry_run=yes"; "" if there are none."""
        return plain(shlex.join(f"{name}={value}" for name, value in self.run.params.items()))

    def summary(self, until: str) -> str:
        """Return the outcome and the reason in one sentence, without repetition; "" if there is no reason.

        Args:
            until: the time of the last of several occurrences, as text; "" for one.
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
    """Return the rows of a history by key; ``runs`` are sorted from newest to oldest."""
    rows: list[HistoryRow] = []
    for group_key, group in groupby(runs, _group_key):
        members = list(group)
        rows += [_merge(members, zone)] if group_key else [HistoryRow(run, (run.run_id,), zone) for run in members]
    return {row.key: row for row in rows}


def _group_key(run: Run) -> tuple[RunState, str, str] | None:
    """Return a key that is equal for occurrences that share a row; None for a run, which has its own.

    Only the codes of their reasons have to be equal: the parameters, such as how late each was, differ.
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


def summarise(rows: Iterable[HistoryRow]) -> str:
    """Return how many runs and how many occurrences without a run there are: "2 runs, 160 did not run"."""
    with_run, without = 0, 0
    for row in rows:
        if was_run(row.run):
            with_run += 1
        else:
            without += row.run.count
    runs = format_count(with_run, "run")
    return f"{runs}, {without:,} did not run" if without else runs


def history_filter() -> ListFilter[HistoryRow]:
    """Return a filter for a history: runs, failures, and occurrences without a run."""
    return ListFilter[HistoryRow](
        lambda row: row.search_text,
        Category("that ran", lambda row: was_run(row.run)),
        Category("that failed", lambda row: row.run.state in FAILURES),
        Category("that did not run", lambda row: not was_run(row.run)),
    )
