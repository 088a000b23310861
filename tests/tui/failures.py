"""Failures of background work that the terminal has reported."""

from __future__ import annotations

import logging

import pytest


def reported(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the messages of all errors that the terminal has logged during a test."""
    records = caplog.get_records("call")
    return [
        logging.Formatter().format(record)
        for record in records
        if record.name.startswith("keiji_tui") and record.levelno >= logging.ERROR
    ]
