"""The command line of ``keiji-engine``."""

from __future__ import annotations

import pytest

from keiji import __version__
from keiji_engine import main


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_printed(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main.main([option])
    assert exited.value.code == 0
    assert capsys.readouterr().out == f"keiji-engine {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--root"], "argument --root: expected one argument"),
        (["--unknown"], "unrecognized arguments: --unknown"),
        (
            ["--drain", "-1"],
            "argument --drain: '-1' is not a duration such as 5m, from 0 to 7 days",
        ),
        (
            ["--drain", "8d"],
            "argument --drain: '8d' is not a duration such as 5m, from 0 to 7 days",
        ),
    ],
)
def test_wrong_usage_has_a_reason_and_a_hint(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main.main(arguments)
    assert exited.value.code == 2
    assert capsys.readouterr().err == f"keiji-engine: {error}\nkeiji-engine --help shows the usage\n"
