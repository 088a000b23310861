"""The coming hours of many tasks, merged: in order, bounded, and complete up to where it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from keiji.policy import Policy
from keiji.records import Task
from keiji.schedule import Schedule, ScheduleContext, cron, every, on
from keiji_engine.handlers.timeline import agenda

NOW = datetime(2026, 11, 24, 10, 31, 57, tzinfo=UTC)
END = NOW + timedelta(days=1)


def task(slug: str, schedule: Schedule, policy: Policy | None = None) -> Task:
    policy = policy or Policy()
    placed = schedule.with_context(policy.schedule_context(anchor=NOW, zone="Africa/Nairobi"))
    return Task(id=1, task_id=slug, name=slug, slug=slug, description="", schedule=placed, policy=policy)


def test_instants_of_all_tasks_come_in_order() -> None:
    until, instants, often = agenda(
        [task("b", on.day.at("14:00", "15:00")), task("a", on.day.at("14:00"))], NOW, 24, 100
    )
    assert [(each.task, each.at.hour) for each in instants] == [("a", 11), ("b", 11), ("b", 12)]
    assert (until, often) == (END, ())


def test_who_is_due_too_often_has_one_line_and_its_next_instant() -> None:
    tasks = [task("seconds", every(10).seconds), task("cron", cron("*/20 * * * *")), task("half", cron("*/30 * * * *"))]
    _, instants, often = agenda(tasks, NOW, 24, 100)
    assert [(each.task, each.next_at) for each in often] == [
        ("cron", NOW.replace(minute=40, second=0)),
        ("seconds", NOW + timedelta(seconds=10)),
    ]
    assert {each.task for each in instants} == {"half"}
    assert len(instants) == 48


def test_many_that_are_due_often_leave_no_less_room_for_the_others() -> None:
    tasks = [task(f"often{number:02}", cron("*/5 * * * *")) for number in range(80)]
    until, instants, often = agenda([*tasks, task("daily", on.day.at("09:00"))], NOW, 24, 20)
    assert (until, len(often), [each.task for each in instants]) == (END, 80, ["daily"])


def test_what_is_dense_for_an_hour_of_the_day_keeps_its_lines() -> None:
    _, instants, often = agenda([task("a", cron("*/10 14 * * *"))], NOW, 24, 100)
    assert (len(instants), often) == (6, ())
    _, instants, often = agenda([task("a", cron("0 12 * * *")), task("b", cron("* 3,14 * * *"))], NOW, 24, 100)
    assert ([each.task for each in often], len(instants)) == (["b"], 1)


def test_what_is_left_out_is_after_the_moment_up_to_which_it_is_complete() -> None:
    tasks = [task(f"t{number:03}", every(1).hours) for number in range(50)]
    tasks.append(task("often", cron("* * * * *")))
    _, whole, _ = agenda(tasks, NOW, 24, 5000)
    until, instants, often = agenda(tasks, NOW, 24, 120)
    assert [each.task for each in often] == ["often"]
    assert instants == tuple(each for each in whole if each.at < until)
    assert len(instants) == 100


def test_what_daylight_saving_and_jitter_do_is_noted() -> None:
    policy = Policy(tz="Europe/Berlin", jitter=30)
    began = datetime(2027, 3, 28, 0, 0, tzinfo=UTC)
    berlin = on.day.at("02:30").with_context(ScheduleContext(anchor=began, zone="Europe/Berlin"))
    [due] = agenda([task("a", berlin, policy)], began, 24, 10)[1]
    assert "gap" in due.note
    assert "jitter" in due.note
    assert due.starts_at > due.at
