"""build_timeline merges the due instants of many tasks: in order, bounded, and complete up to ``until``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from keiji.policy import Policy
from keiji.records import Task
from keiji.schedule import Schedule, ScheduleContext, cron, every, on
from keiji_engine.handlers.timeline import build_timeline

NOW = datetime(2026, 11, 24, 10, 31, 57, tzinfo=UTC)
END = NOW + timedelta(days=1)


def task(slug: str, schedule: Schedule, policy: Policy | None = None) -> Task:
    policy = policy or Policy()
    schedule = schedule.with_context(policy.schedule_context(anchor=NOW, zone="Africa/Nairobi"))
    return Task(id=1, task_id=slug, name=slug, slug=slug, description="", schedule=schedule, policy=policy)


def test_instants_of_all_tasks_are_in_order() -> None:
    until, instants, frequent = build_timeline(
        [task("b", on.day.at("14:00", "15:00")), task("a", on.day.at("14:00"))], NOW, 24, 100
    )
    assert [(each.task, each.at.hour) for each in instants] == [("a", 11), ("b", 11), ("b", 12)]
    assert (until, frequent) == (END, ())


def test_a_frequent_task_is_listed_once_with_its_next_instant() -> None:
    tasks = [task("seconds", every(10).seconds), task("cron", cron("*/20 * * * *")), task("half", cron("*/30 * * * *"))]
    _, instants, frequent = build_timeline(tasks, NOW, 24, 100)
    assert [(each.task, each.next_at) for each in frequent] == [
        ("cron", NOW.replace(minute=40, second=0)),
        ("seconds", NOW + timedelta(seconds=10)),
    ]
    assert {each.task for each in instants} == {"half"}
    assert len(instants) == 48


def test_frequent_tasks_do_not_count_towards_the_limit() -> None:
    tasks = [task(f"frequent{number:02}", cron("*/5 * * * *")) for number in range(80)]
    until, instants, frequent = build_timeline([*tasks, task("daily", on.day.at("09:00"))], NOW, 24, 20)
    assert (until, len(frequent), [each.task for each in instants]) == (END, 80, ["daily"])


def test_a_task_that_is_dense_for_one_hour_of_the_day_is_not_frequent() -> None:
    _, instants, frequent = build_timeline([task("a", cron("*/10 14 * * *"))], NOW, 24, 100)
    assert (len(instants), frequent) == (6, ())
    _, instants, frequent = build_timeline(
        [task("a", cron("0 12 * * *")), task("b", cron("* 3,14 * * *"))], NOW, 24, 100
    )
    assert ([each.task for each in frequent], len(instants)) == (["b"], 1)


def test_a_limited_timeline_is_complete_up_to_until() -> None:
    tasks = [task(f"t{number:03}", every(1).hours) for number in range(50)]
    tasks.append(task("frequent", cron("* * * * *")))
    _, complete, _ = build_timeline(tasks, NOW, 24, 5000)
    until, instants, frequent = build_timeline(tasks, NOW, 24, 120)
    assert [each.task for each in frequent] == ["frequent"]
    assert instants == tuple(each for each in complete if each.at < until)
    assert len(instants) == 100


def test_daylight_saving_and_jitter_are_noted() -> None:
    policy = Policy(tz="Europe/Berlin", jitter=30)
    start = datetime(2027, 3, 28, 0, 0, tzinfo=UTC)
    berlin = on.day.at("02:30").with_context(ScheduleContext(anchor=start, zone="Europe/Berlin"))
    [due] = build_timeline([task("a", berlin, policy)], start, 24, 10)[1]
    assert "gap" in due.note
    assert "jitter" in due.note
    assert due.starts_at > due.at
