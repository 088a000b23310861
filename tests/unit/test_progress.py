"""How far a run has got: taken out of what it prints, whatever way it comes, and said by Python authors."""

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
from keiji_engine.runner.progress import ProgressFilter, path_of, read_all, write

HALF = b"\x1b]9;4;1;50\x1b\\"
OTHERS = [b"plain\n", b"\x1b[31mred\x1b[0m", b"\x1b]0;title\x07", b"\x1b", b"\x1b]9;", b"\x1b]9;4;9;9\x07", b"\xff\x00"]


def sifted(*chunks: bytes) -> tuple[bytes, Progress | None]:
    sifter = ProgressFilter()
    return b"".join([*map(sifter.sift, chunks), sifter.rest()]), sifter.latest


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
def test_what_a_sequence_says_is_heard_and_not_logged(sequence: bytes, progress: Progress | None) -> None:
    assert sifted(b"before " + sequence + b"after\n") == (b"before after\n", progress)


@given(st.lists(st.sampled_from([HALF, *OTHERS]), max_size=12), st.lists(st.integers(1, 30), min_size=1))
def test_in_whatever_chunks_it_comes_only_whole_sequences_are_taken_out(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    whole = sifted(data)
    chunks, position = [], 0
    while position < len(data):
        step = cuts[len(chunks) % len(cuts)]
        chunks.append(data[position : position + step])
        position += step
    assert sifted(*chunks) == whole
    assert HALF not in whole[0]


def test_what_begins_like_a_sequence_and_never_ends_is_kept_for_no_longer_than_one_may_be() -> None:
    sifter = ProgressFilter()
    endless = b"\x1b]9;4;1;50;" + b"x" * 5000
    assert sifter.sift(endless) == endless
    assert sifter.rest() == b""


def test_what_is_written_is_read_until_it_is_taken_back(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    told = Progress(fraction=0.25, message="a quarter", is_failing=True)
    write(path_of(runs, "r1"), told)
    write(path_of(runs, "r2"), Progress())
    path_of(runs, "torn").write_text("[0.")
    assert dict(read_all(runs)) == {"r1": told, "r2": Progress()}
    write(path_of(runs, "r1"), None)
    write(path_of(runs, "r1"), None)
    assert dict(read_all(runs)) == {"r2": Progress()}
    assert dict(read_all(tmp_path / "nowhere" / "runs")) == {}


SAYS = "import keiji; keiji.progress(0.61, 'half way\\x1b[31m\\n'); keiji.progress(None)"


def said(stdout: int, **environment: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "KEIJI_RUN_ID"}
    subprocess.run([sys.executable, "-c", SAYS], stdout=stdout, env=inherited | environment, check=True, timeout=20)


def test_python_authors_say_it_with_words_under_keiji_and_without_on_a_terminal_and_not_at_all_elsewhere() -> None:
    reading, writing = os.pipe()
    said(writing, KEIJI_RUN_ID="r1")
    said(writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"\x1b]9;4;1;61;half way[31m\x1b\\\x1b]9;4;3;0\x1b\\"
    terminal, end = os.openpty()
    said(end)
    assert os.read(terminal, 1000) == b"\x1b]9;4;1;61\x1b\\\x1b]9;4;3;0\x1b\\"
    os.close(end)
    os.close(terminal)


@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan")])
def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="expected a number from 0 to 1, or None"):
        keiji.progress(fraction)
