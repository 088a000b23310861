"""How long the command line takes, beside a bare Python in the same run: python bench/startup.py

Ends with 1 where a limit is passed; on a busy machine the ratio to the bare Python tells more than the seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

ROUNDS = 15
KEIJI = (sys.executable, "-m", "keiji_cli.main")


def best(command: Sequence[str], environment: dict[str, str]) -> float:
    """Return the shortest of some rounds, in seconds: what the command costs when nothing disturbs it."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        took.append(time.perf_counter() - began)
    return min(took)


def main() -> int:
    """Measure and print; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="keiji-bench-") as root:
        environment = os.environ | {"KEIJI_ROOT": root}
        environment.pop("KEIJI_WORKSPACE", None)

        def keiji(*arguments: str) -> None:
            subprocess.run([*KEIJI, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)

        keiji("init")
        keiji("task", "create", "ping")
        keiji("task", "build", "ping")
        bare = best([sys.executable, "-c", "pass"], environment)
        measured = [
            ("keiji --help", 0.1, best([*KEIJI, "--help"], environment)),
            ("keiji task get, no engine", 0.3, best([*KEIJI, "task", "get"], environment)),
        ]
        keiji("system", "start")
        try:
            measured.append(("keiji task get, over the bus", 0.3, best([*KEIJI, "task", "get"], environment)))
        finally:
            keiji("system", "stop")
    print(f"{'python -c pass':<30} {bare:6.3f} s")
    for name, limit, seconds in measured:
        verdict = "ok" if seconds <= limit else "TOO SLOW"
        print(f"{name:<30} {seconds:6.3f} s  {seconds / bare:5.1f} × bare Python  limit {limit} s  {verdict}")
    return int(any(seconds > limit for _, limit, seconds in measured))


if __name__ == "__main__":
    sys.exit(main())
