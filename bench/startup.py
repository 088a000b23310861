"""Start-up time of the command line, compared with a bare Python in the same run: python bench/startup.py

Exits with 1 if a limit is exceeded. On a busy machine, the ratio to the bare Python is more reliable than the seconds.
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


def measure(argv: Sequence[str], environment: dict[str, str]) -> float:
    """Return the shortest duration of several rounds, in seconds: the cost of the command on an idle machine."""
    durations = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)
        durations.append(time.perf_counter() - start)
    return min(durations)


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
        bare = measure([sys.executable, "-c", "pass"], environment)
        results = [
            ("keiji --help", 0.1, measure([*KEIJI, "--help"], environment)),
            ("keiji task --help", 0.15, measure([*KEIJI, "task", "--help"], environment)),
            ("keiji task list, no engine", 0.3, measure([*KEIJI, "task", "list"], environment)),
        ]
        keiji("system", "start")
        try:
            results += [
                ("keiji task list, over the bus", 0.3, measure([*KEIJI, "task", "list"], environment)),
                ("keiji task --list, over the bus", 0.3, measure([*KEIJI, "task", "--list"], environment)),
            ]
        finally:
            keiji("system", "stop")
    print(f"{'python -c pass':<32} {bare:6.3f} s")
    for name, limit, seconds in results:
        rating = "ok" if seconds <= limit else "TOO SLOW"
        print(f"{name:<32} {seconds:6.3f} s  {seconds / bare:5.1f} × bare Python  limit {limit} s  {rating}")
    return int(any(seconds > limit for _, limit, seconds in results))


if __name__ == "__main__":
    sys.exit(main())
