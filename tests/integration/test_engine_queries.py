"""What a real engine answers about its ledger, about sources that differ, and about the coming day."""

from __future__ import annotations

import pytest
from installation import EVERY_HOUR, EVERY_SECOND, WRITE_NOTHING, Installation

from keiji.errors import BuildFailed, KeijiError, NotBuilt, TaskNotFound
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import DirectiveView


def ledger(installation: Installation, limit: int = 200) -> tuple[DirectiveView, ...]:
    return installation.ask(p.GetDirectives(limit=limit)).directives


def difference(installation: Installation, slug: str) -> p.Difference:
    return installation.ask(p.GetDifference(task=slug))


def timeline(installation: Installation, **options: int) -> p.Timeline:
    return installation.ask(p.GetTimeline(**options))


def test_the_ledger_tells_what_was_asked_and_answered_newest_first_also_across_engines(
    installation: Installation,
) -> None:
    assert ledger(installation) == ()
    installation.build("ping")
    installation.start()
    installation.do(p.Disable(task="ping"))
    installation.write("ping", "def function(:\n")
    with pytest.raises(BuildFailed):
        installation.do(p.BuildTask(task="ping", restart=True))
    installation.stop()
    refused, disabled, built = ledger(installation)
    assert [view.verb for view in (refused, disabled, built)] == ["build", "disable", "build"]
    assert (refused.stage, refused.sender, refused.target) == ("refused", "test", "ping")
    assert (refused.options, built.options) == ({"restart": True}, {})
    assert refused.lines[0].startswith("function.py, line 1: ")
    assert refused.lines[-1].endswith("stays active")
    assert (disabled.stage, disabled.lines[0]) == ("done", "disabled task ping")
    assert disabled.completed_at is not None
    assert disabled.completed_at >= disabled.received_at
    assert built.lines[0] == "task found , building..."
    assert ledger(installation, limit=1) == (refused,)
    assert ledger(installation, limit=-1) == ()


def test_sources_are_compared_with_the_build_that_is_active(installation: Installation) -> None:
    installation.build("ping", "def function():\n    print('old')\n")
    folder = installation.paths.source("ping")
    (folder / "logo.png").write_bytes(b"\x89PNG\0\1")
    (folder / ".env").write_text("PASSWORD=secret-1\n")
    (folder / "prod.env").write_text("PASSWORD=secret-2\n")
    (folder / "schedule.py").chmod(0o755)
    assert difference(installation, "ping").files[0].path == "logo.png"
    (folder / "function.py").write_text("def function():\n    print('new')\n")
    found = difference(installation, "ping")
    assert {file.path: (file.change, file.note) for file in found.files} == {
        "function.py": ("edited", ""),
        "logo.png": ("added", "binary"),
        "prod.env": ("added", "not shown: may contain secrets"),
        "schedule.py": ("mode", "is now executable"),
    }
    lines = ("@@ -1,2 +1,2 @@", " def function():", "-    print('old')", "+    print('new')")
    assert found.files[0].lines == lines
    assert "secret" not in "".join(p.encode(found)[1].decode().split("may contain secrets"))
    installation.ask(p.BuildTask(task="ping"))
    again = difference(installation, "ping")
    assert again.files == ()
    assert again.build == installation.task("ping").build


def test_what_has_no_build_or_no_sources_cannot_be_compared(installation: Installation) -> None:
    installation.do(p.Create(name="idea"))
    for query in (p.GetDifference(task="idea"), p.GetBuild(task="idea")):
        with pytest.raises(NotBuilt, match="has no build yet"):
            installation.ask(query)
    with pytest.raises(TaskNotFound):
        installation.ask(p.GetDifference(task="nothing"))
    installation.build("ping")
    folder = installation.paths.source("ping")
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(KeijiError, match="does not exist"):
        difference(installation, "ping")


def test_the_active_build_is_told_with_its_age_and_how_long_it_took_to_import(installation: Installation) -> None:
    installation.build("ping")
    reply = installation.ask(p.GetBuild(task="ping"))
    assert (reply.hash, reply.files) == (installation.task("ping").build, 2)
    assert reply.import_seconds > 0


def test_timeline_lists_each_instant_of_all_tasks_and_one_entry_per_frequent_task(
    installation: Installation,
) -> None:
    installation.build("hourly", schedule=EVERY_HOUR)
    installation.build("often", schedule=EVERY_SECOND)
    installation.build("daily", WRITE_NOTHING, 'on.day.at("04:30")')
    installation.do(p.Disable(task="daily"))
    installation.do(p.Create(name="idea"))
    installation.start()
    found = timeline(installation)
    assert [often.task for often in found.frequent_tasks] == ["often"]
    times = [instant.at for instant in found.instants]
    assert times == sorted(times)
    assert {instant.task for instant in found.instants} == {"hourly", "daily"}
    assert len(times) in (24, 25)
    some = timeline(installation, limit=5)
    assert some.instants == found.instants[:5]
    assert some.until == found.instants[5].at
