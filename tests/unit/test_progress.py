"""Progress of runs: filtering escape sequences from output, progress files, and `keiji.progress`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import keiji
from keiji.records import Progress
from keiji_engine.runner.progress import ProgressFilter, path_for, read_all, write

HALF = b"\x1b]9;4;1;50\x1b\\"
OTHERS = [b"plain\n", b"\x1b[31mred\x1b[0m", b"\x1b]0;title\x07", b"\x1b", b"\x1b]9;", b"\x1b]9;4;9;9\x07", b"\xff\x00"]


def filtered(*chunks: bytes) -> tuple[bytes, Progress | None]:
    """Return the output without progress sequences, and the latest progress."""
    progress_filter = ProgressFilter()
    output = b"".join([*map(progress_filter.filter, chunks), progress_filter.flush()])
    return output, progress_filter.latest


@pytest.mark.parametrize(
    ("sequence", "progress"),
    [
        (HALF, Progress(fraction=0.5)),
        (b"\x1b]9;4;1;100\x07", Progress(fraction=1.0)),
        (b"\x1b]9;4;1;250\x07", Progress(fraction=1.0)),
        (b"\x1b]9;4;3\x07", Progress()),
        (b"\x1b]9;4;3;0\x1b\\", Progress()),
        (b"\x1b]9;4;2;20\x07", Progress(fraction=0.2, is_failing=True)),
        (b"\x1b]9;4;1;61;copying [b] \xe8\xa8\x88\x07", Progress(fraction=0.61, message="copying [b] 計")),
        (HALF + b"\x1b]9;4;0\x07", None),
    ],
)
def test_a_sequence_is_removed_from_the_output_and_sets_the_progress(
    sequence: bytes, progress: Progress | None
) -> None:
    assert filtered(b"before " + sequence + b"after\n") == (b"before after\n", progress)


@given(st.lists(st.sampled_from([HALF, *OTHERS]), max_size=12), st.lists(st.integers(1, 30), min_size=1))
def test_filtering_does_not_depend_on_how_output_is_split_into_chunks(parts: list[bytes], sizes: list[int]) -> None:
    data = b"".join(parts)
    whole = filtered(data)
    chunks, position = [], 0
    while position < len(data):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(data[position : position + size])
        position += size
    assert filtered(*chunks) == whole
    assert HALF not in whole[0]


def test_an_unterminated_sequence_is_passed_on_once_it_exceeds_the_maximum_length() -> None:
    progress_filter = ProgressFilter()
    unterminated = b"\x1b]9;4;1;50;" + b"x" * 5000
    assert progress_filter.filter(unterminated) == unterminated
    assert progress_filter.flush() == b""


def test_a_progress_file_is_read_until_it_is_removed(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    quarter = Progress(fraction=0.25, message="a quarter", is_failing=True)
    write(path_for(runs, "r1"), quarter)
    write(path_for(runs, "r2"), Progress())
    path_for(runs, "torn").write_text("[0.")
    assert dict(read_all(runs)) == {"r1": quarter, "r2": Progress()}
    write(path_for(runs, "r1"), None)
    write(path_for(runs, "r1"), None)
    assert dict(read_all(runs)) == {"r2": Progress()}
    assert dict(read_all(tmp_path / "nowhere" / "runs")) == {}


REPORTS_PROGRESS = "import keiji; keiji.progress(0.61, 'half way\\x1b[31m\\n'); keiji.progress(None)"


def report_progress(stdout: int, **environment: str) -> None:
    """Run a program that calls `keiji.progress`."""
    inherited = {name: value for name, value in os.environ.items() if name != "KEIJI_RUN_ID"}
    subprocess.run(
        [sys.executable, "-c", REPORTS_PROGRESS], stdout=stdout, env=inherited | environment, check=True, timeout=20
    )


def test_progress_prints_the_message_in_a_run_only_the_fraction_on_a_terminal_and_nothing_otherwise() -> None:
    read_fd, write_fd = os.pipe()
    report_progress(write_fd, KEIJI_RUN_ID="r1")
    report_progress(write_fd)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        assert pipe.read() == b"\x1b]9;4;1;61;half way[31m\x1b\\\x1b]9;4;3;0\x1b\\"
    master, slave = os.openpty()
    report_progress(slave)
    assert os.read(master, 1000) == b"\x1b]9;4;1;61\x1b\\\x1b]9;4;3;0\x1b\\"
    os.close(slave)
    os.close(master)


@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan")])
def test_a_fraction_out_of_range_is_rejected(fraction: float) -> None:
    with pytest.raises(ValueError, match="expected a number from 0 to 1, or None"):
        keiji.progress(fraction)
