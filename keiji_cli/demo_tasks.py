"""The six tasks of the demo."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class DemoTask:
    """A task of the demo.

    Attributes:
        function: the text of ``function.py``.
        schedule: the expression that ``schedule()`` returns.
        policy: the expression of ``policy``; "" for the default.
    """

    name: str
    description: str
    function: str
    schedule: str
    policy: str = ""
    is_disabled: bool = False

    @property
    def function_source(self) -> str:
        return dedent(self.function).lstrip()

    @property
    def schedule_source(self) -> str:
        lines = ["from keiji import Policy, Retry, every, on", "", "", "def schedule():", f"    return {self.schedule}"]
        return "\n".join([*lines, *(["", "", f"policy = {self.policy}"] if self.policy else []), ""])


TASKS = (
    DemoTask(
        "pulse",
        "runs every two seconds",
        """
        from datetime import datetime


        def function():
            print(f"it is {datetime.now():%H:%M:%S.%f}")
        """,
        "every(2).seconds",
    ),
    DemoTask(
        "nightly backup",
        "slow: takes five seconds and reports its progress",
        """
        import time


        def function():
            for step in range(1, 6):
                time.sleep(1)
                print(f"copied {step} of 5 parts")
        """,
        "every(8).seconds",
        "Policy(timeout=60, stop_grace=2)",
    ),
    DemoTask(
        "flaky upload",
        "fails twice and succeeds on the third attempt",
        """
        from pathlib import Path


        def function():
            attempts = Path("attempts")  # every task has its own working directory
            attempt = int(attempts.read_text()) + 1 if attempts.exists() else 1
            attempts.write_text(str(attempt))
            if attempt % 3:
                raise ConnectionError("the server replied: try again later")
            print(f"uploaded, after {attempt} attempts")
        """,
        "every(9).seconds",
        "Policy(retry=Retry(tries=3, delay=1.5))",
    ),
    DemoTask(
        "chatty import",
        "noisy: prints 500 lines per run",
        """
        def function():
            for row in range(1, 501):
                print(f"row {row}: imported")
        """,
        "every(4).seconds",
    ),
    DemoTask(
        "weekly report",
        "runs on Fridays at 22:00",
        """
        def function():
            print("all is well")
        """,
        'on.friday.at("22:00")',
    ),
    DemoTask(
        "old cleanup",
        "disabled: does not run until it is enabled",
        """
        def function():
            print("nothing left to clean")
        """,
        "every(5).seconds",
        is_disabled=True,
    ),
)
