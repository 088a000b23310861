"""A process with a runner, there to be killed: it launches what it is given and goes on until then."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from runner_lab import Lab

from keiji_engine.runner.spec import RunSpec


async def main(root: Path) -> None:
    lab = Lab(root)
    await lab.runner.start(())
    specs = [RunSpec.from_dict(data) for data in json.loads((root / "specs.json").read_text())]
    await lab.runner.launch(specs)
    launcher = lab.runner._launcher
    sys.stdout.write(f"{launcher.pid if launcher else 0}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
