"""A process that runs a runner and waits to be killed. It launches the runs in ``specs.json``."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from runner_harness import RunnerHarness

from keiji_engine.runner.spec import RunSpec


async def main(root: Path) -> None:
    harness = RunnerHarness(root)
    await harness.runner.start(())
    specs = [RunSpec.from_dict(data) for data in json.loads((root / "specs.json").read_text())]
    await harness.runner.launch(specs)
    launcher = harness.runner._launcher
    sys.stdout.write(f"{launcher.pid if launcher else 0}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
