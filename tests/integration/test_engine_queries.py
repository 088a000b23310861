"""Queries to a real engine: the ledger of directives, source differences, and the timeline of the next day."""

from __future__ import annotations

import pytest
from installation import DO_NOTHING, EVERY_HOUR, EVERY_SECOND, Installation, until

from keiji.errors import BuildFailed, KeijiError, NotBuilt, TaskNotFound
from keiji.reasons import Code, reason, remedy
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import DirectiveView


def ledger(installation: Installation, limit: int = 200) -> tuple[DirectiveView, ...]:
    return installation.ask(p.GetDirectives(limit=limit)).directives


def difference(installation: Installation, slug: str) -> p.Difference:
    return installation.ask(p.GetDifference(task=slug))


def timeline(installation: Installation, **options: int) -> p.Timeline:
    return installation.ask(p.GetTimeline(**options))


def test_ledger_lists_directives_and_replies_newest_first_across_engine_restarts(installation: Installation) -> None:
    assert ledger(installation) == ()
    installation.build("ping")
    installation.start()
    installation.do(p.Disable(task="ping"))
    installation.write("ping", "def function(:\n")
    with pytest.raises(BuildFailed):
        installation.do(p.BuildTask(task="ping", restart=True))
    installation.stop()
    stop, refused, disabled, start, built = ledger(installation)
    assert [(view.verb, view.sender, view.stage) for view in (stop, start)] == [
        ("engine-stop", "keiji-engine", "done"),
        ("engine-start", "keiji-engine", "done"),
    ]
    assert [view.verb for view in (refused, disabled, built)] == ["build", "disable", "build"]
    assert (refused.stage, refused.sender, refused.target) == ("refused", "test", "ping")
    assert (refused.options, built.options) == ({"restart": True}, {})
    assert refused.lines[0].startswith("function.py, line 1: ")
    assert refused.lines[-1].endswith("stays active")
    assert (disabled.stage, disabled.lines[0]) == ("done", "disabled task ping")
    assert disabled.completed_at is not None
    assert disabled.completed_at >= disabled.received_at
    assert built.lines[0] == "task found , building..."
    assert ledger(installation, limit=2) == (stop, refused)
    assert ledger(installation, limit=-1) == ()


def test_sources_are_compared_with_the_active_build(installation: Installation) -> None:
    installation.build("ping", "def function():\n    print('old')\n")
    folder = installation.paths.source("ping")
    (folder / "logo.png").write_bytes(b"\x89PNG\0\1")
    (folder / ".env").write_text("PASSWORD=secret-1\n")
    (folder / "prod.env").write_text("PASSWORD=secret-2\n")
    (folder / "schedule.py").chmod(0o755)
    assert difference(installation, "ping").files[0].path == "logo.png"
    (folder / "function.py").write_text("def function():\n    print('new')\n")
    compared = difference(installation, "ping")
    assert {file.path: (file.change, file.note) for file in compared.files} == {
        "function.py": ("edited", ""),
        "logo.png": ("added", "binary"),
        "prod.env": ("added", "not shown: may contain secrets"),
        "schedule.py": ("mode", "is now executable"),
    }
    lines = ("@@ -1,2 +1,2 @@", " def function():", "-    print('old')", "+    print('new')")
    assert compared.files[0].lines == lines
    assert "secret" not in "".join(p.encode(compared)[1].decode().split("may contain secrets"))
    installation.ask(p.BuildTask(task="ping"))
    rebuilt = difference(installation, "ping")
    assert rebuilt.files == ()
    assert rebuilt.build == installation.task("ping").build


def test_task_without_a_build_or_sources_cannot_be_compared(installation: Installation) -> None:
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


def explained(installation: Installation, slug: str = "ping") -> list[Code]:
    return [Code(why.code) for why in installation.ask(p.Explain(task=slug)).reasons]


@pytest.mark.parametrize("is_online", [True, False])
def test_explanation_names_what_is_wrong_with_the_files_of_a_task(installation: Installation, is_online: bool) -> None:
    others = [Code.DUE] if is_online else [Code.ENGINE_OFFLINE, Code.DUE]
    installation.build("ping")
    installation.do(p.Create(name="idea"))
    if is_online:
        installation.start()
    source, folder = installation.paths.source("ping"), installation.paths.builds / str(installation.task("ping").build)

    def new_reasons(slug: str = "ping") -> list[Code]:
        return [code for code in explained(installation, slug) if code not in others]

    assert new_reasons() == []
    (source / ".env").write_text("NAME=renamed\nTOKEN=a\n")
    assert new_reasons() == [Code.DETAILS_CHANGED]
    (source / ".env").write_text("NAME=ping\nDESCRIPTION=x\nhunter2\n")
    assert new_reasons() == [Code.ENV_INVALID]
    (source / ".env").write_text(f"BLOB={'x' * 200_000}\n")
    assert new_reasons() == [Code.ENV_INVALID]
    (source / ".env").unlink()
    assert new_reasons() == []

    moved = source.rename(source.with_name("elsewhere"))
    [why] = [why for why in installation.ask(p.Explain(task="ping")).reasons if why.code not in others]
    assert (why, remedy(why, "ping")) == (
        reason(Code.SOURCES_MISSING, path=str(source)),
        "put them back; or keiji task delete ping",
    )
    installation.paths.source("idea").rename(source.with_name("elsewhere2"))
    [why] = [why for why in installation.ask(p.Explain(task="idea")).reasons if why.code not in others]
    assert (why.code, why.cause) == (Code.SOURCES_MISSING, reason(Code.NOT_BUILT))

    hidden = folder.rename(folder.with_name("hidden"))
    [why] = [why for why in installation.ask(p.Explain(task="ping")).reasons if why.code not in others]
    assert (why.code, why.cause) == (Code.SOURCES_MISSING, reason(Code.BUILD_MISSING, build=folder.name))
    moved.rename(source)
    until(lambda: new_reasons() == [Code.BUILD_MISSING])  # the watcher may still report the sources as changed
    hidden.rename(folder)
    assert new_reasons() == []


def test_active_build_has_a_file_count_and_an_import_time(installation: Installation) -> None:
    installation.build("ping")
    reply = installation.ask(p.GetBuild(task="ping"))
    assert (reply.hash, reply.files) == (installation.task("ping").build, 2)
    assert reply.import_seconds > 0


def test_timeline_has_every_instant_of_the_next_day_and_lists_frequent_tasks_separately(
    shared: Installation,
) -> None:
    shared.build("hourly", schedule=EVERY_HOUR)
    shared.build("often", schedule=EVERY_SECOND)
    shared.build("daily", DO_NOTHING, 'on.day.at("04:30")')
    shared.do(p.Disable(task="daily"))
    shared.do(p.Create(name="idea"))
    whole = timeline(shared)
    assert [often.task for often in whole.frequent_tasks] == ["often"]
    times = [instant.at for instant in whole.instants]
    assert times == sorted(times)
    assert {instant.task for instant in whole.instants} == {"hourly", "daily"}
    assert len(times) in (24, 25)
    part = timeline(shared, limit=5)
    assert part.instants == whole.instants[:5]
    assert part.until == whole.instants[5].at
