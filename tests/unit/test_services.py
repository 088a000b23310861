"""The life of a service, and the supervisor that restarts services that fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import virtual_time

from keiji.errors import KeijiError, UsageError
from keiji.reasons import text_reason
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import ServiceStatus, ServiceView
from keiji_engine.events import EventBus
from keiji_engine.services import FIRST_BACKOFF, MAX_BACKOFF, STABLE_AFTER, Service, ServiceSupervisor

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)


class Work:
    """What a service does, as the test says: it fails while starting, or is up until `fail` or `finish`."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.error_at_start = error
        self.starts: list[float] = []
        self.is_cleaned_up = False
        self._end: asyncio.Future[None] | None = None

    async def serve(self, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.starts.append(loop.time())
        if self.error_at_start is not None:
            raise self.error_at_start
        self._end = loop.create_future()
        ready()
        try:
            await self._end
        finally:
            self.is_cleaned_up = True

    def fail(self, error: Exception) -> None:
        assert self._end is not None
        self._end.set_exception(error)

    def finish(self) -> None:
        assert self._end is not None
        self._end.set_result(None)


class Supervised:
    """A supervisor of services, and the statuses that it published."""

    def __init__(self, **works: Work) -> None:
        self.published: list[ServiceView] = []
        events = EventBus()
        events.subscribe(p.ServiceChanged, lambda event: self.published.append(event.service))
        self.supervisor = ServiceSupervisor({name: work.serve for name, work in works.items()}, events, lambda: NOW)

    def status(self, name: str) -> ServiceStatus:
        return next(view.status for view in self.supervisor.views() if view.name == name)

    def history(self) -> list[tuple[str, ServiceStatus]]:
        return [(view.name, view.status) for view in self.published]

    async def wait_for(self, name: str, status: ServiceStatus) -> None:
        """Wait, in virtual time, until a service has a status."""
        async with asyncio.timeout(10 * MAX_BACKOFF):
            while self.status(name) is not status:
                await asyncio.sleep(0.01)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "keiji")
    return caplog


# ── one service ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_service_is_online_once_it_is_ready_and_offline_once_it_has_stopped() -> None:
    work, statuses = Work(), list[ServiceStatus]()
    service = Service("runner", work.serve, lambda view: statuses.append(view.status), lambda: NOW)
    assert (service.view.status, service.is_running) == (ServiceStatus.OFFLINE, False)
    await service.start()
    assert (service.view.status, service.view.since, service.is_running) == (ServiceStatus.ONLINE, NOW, True)
    await service.stop()
    assert (service.view.status, service.is_running, work.is_cleaned_up) == (ServiceStatus.OFFLINE, False, True)
    assert statuses == [
        ServiceStatus.STARTING,
        ServiceStatus.ONLINE,
        ServiceStatus.STOPPING,
        ServiceStatus.OFFLINE,
    ]


async def test_starting_a_running_service_and_stopping_a_stopped_one_change_nothing() -> None:
    work, statuses = Work(), list[ServiceStatus]()
    service = Service("runner", work.serve, lambda view: statuses.append(view.status), lambda: NOW)
    await service.stop()
    assert statuses == []
    await service.start()
    await service.start()
    assert len(work.starts) == 1
    await service.stop()


async def test_a_service_is_degraded_while_any_of_its_problems_lasts() -> None:
    work, statuses = Work(), list[ServiceStatus]()
    service = Service("runner", work.serve, lambda view: statuses.append(view.status), lambda: NOW)
    one, two = text_reason("the disk is full"), text_reason("the log is gone")
    service.set_problem("one", one)
    assert service.view.status is ServiceStatus.OFFLINE
    await service.start()
    assert (service.view.status, service.view.reason) == (ServiceStatus.DEGRADED, one)
    service.set_problem("two", two)
    assert service.view.detail == "the disk is full; the log is gone"
    service.set_problem("one", None)
    assert (service.view.status, service.view.reason) == (ServiceStatus.DEGRADED, two)
    service.set_problem("two", None)
    assert (service.view.status, service.view.reason, service.view.detail) == (ServiceStatus.ONLINE, None, "")
    assert len(work.starts) == 1
    await service.stop()


async def test_concurrent_starts_and_stops_happen_one_after_the_other() -> None:
    work = Work()
    service = Service("runner", work.serve, lambda view: None, lambda: NOW)
    await asyncio.gather(service.start(), service.stop(), service.start(), service.stop(), service.start())
    assert (service.view.status, len(work.starts)) == (ServiceStatus.ONLINE, 3)
    await service.stop()


async def test_a_service_that_raises_has_failed_and_its_log_has_the_traceback(log: pytest.LogCaptureFixture) -> None:
    service = Service("runner", Work(error=ValueError("boom")).serve, lambda view: None, lambda: NOW)
    await service.start()
    assert (service.view.status, service.view.detail) == (ServiceStatus.FAILED, "ValueError: boom")
    assert not service.is_running
    record = log.records[-1]
    assert (record.name, record.levelname, record.getMessage()) == (
        "keiji.runner",
        "ERROR",
        "runner failed: ValueError: boom",
    )
    assert record.exc_info is not None


async def test_the_detail_of_an_error_group_is_its_first_error() -> None:
    group = ExceptionGroup("unhandled errors", [ExceptionGroup("inner", [OSError("disk full")]), ValueError("later")])
    service = Service("bus", Work(error=group).serve, lambda view: None, lambda: NOW)
    await service.start()
    assert service.view.detail == "OSError: disk full"


async def test_our_own_errors_are_reported_by_their_message(log: pytest.LogCaptureFixture) -> None:
    service = Service("runner", Work(error=KeijiError("no launcher")).serve, lambda view: None, lambda: NOW)
    await service.start()
    assert service.view.detail == "no launcher"
    assert not log.records[-1].exc_info


async def test_a_service_that_returns_has_failed() -> None:
    work = Work()
    service = Service("watcher", work.serve, lambda view: None, lambda: NOW)
    await service.start()
    work.finish()
    while service.is_running:
        await asyncio.sleep(0)
    assert (service.view.status, service.view.detail) == (ServiceStatus.FAILED, "it ended without an error")


# ── the supervisor ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_services_start_in_order_and_stop_in_the_opposite_order() -> None:
    supervised = Supervised(bus=Work(), runner=Work())
    await supervised.supervisor.start_all()
    await supervised.supervisor.stop_all()
    online = [name for name, status in supervised.history() if status is ServiceStatus.ONLINE]
    offline = [name for name, status in supervised.history() if status is ServiceStatus.OFFLINE]
    assert (online, offline) == (["bus", "runner"], ["runner", "bus"])


async def test_only_the_named_services_start() -> None:
    supervised = Supervised(bus=Work(), runner=Work())
    await supervised.supervisor.start_all(["runner"])
    assert (supervised.status("bus"), supervised.status("runner")) == (ServiceStatus.OFFLINE, ServiceStatus.ONLINE)
    await supervised.supervisor.stop_all()


async def test_a_restart_stops_and_starts_a_service() -> None:
    work = Work()
    supervised = Supervised(runner=work)
    await supervised.supervisor.start("runner")
    await supervised.supervisor.restart("runner")
    assert (supervised.status("runner"), len(work.starts)) == (ServiceStatus.ONLINE, 2)
    await supervised.supervisor.stop_all()


async def test_an_unknown_service_is_rejected_with_the_known_ones() -> None:
    supervised = Supervised(bus=Work(), runner=Work())
    with pytest.raises(UsageError, match="there is no service 'runer'; the services are bus, runner"):
        await supervised.supervisor.start("runer")


async def test_a_service_that_fails_at_once_is_an_error_for_who_starts_it() -> None:
    supervised = Supervised(runner=Work(error=OSError("disk full")))
    with pytest.raises(KeijiError, match="runner could not be started: OSError: disk full") as caught:
        await supervised.supervisor.start("runner")
    assert "keiji system logs --runner" in caught.value.hint
    await supervised.supervisor.stop("runner")


def test_a_failed_service_is_restarted_with_a_doubling_delay_up_to_the_maximum(log: pytest.LogCaptureFixture) -> None:
    async def fail_often() -> list[float]:
        work = Work(error=OSError("disk full"))
        supervised = Supervised(runner=work)
        await supervised.supervisor.start_all()
        async with asyncio.timeout(10 * MAX_BACKOFF):
            while len(work.starts) < 10:
                await asyncio.sleep(FIRST_BACKOFF / 10)
        await supervised.supervisor.stop_all()
        return [after - before for before, after in zip(work.starts, work.starts[1:], strict=False)]

    delays = virtual_time.run(fail_often())
    expected = [min(FIRST_BACKOFF * 2**number, MAX_BACKOFF) for number in range(9)]
    assert delays == pytest.approx(expected, abs=0.05)
    assert delays[-1] == pytest.approx(MAX_BACKOFF, abs=0.05)
    assert "runner restarts in 1s" in log.messages
    assert "runner restarts in 2s" in log.messages


def test_the_other_services_are_not_affected_by_a_failure() -> None:
    async def fail_once() -> None:
        runner, bus = Work(), Work()
        supervised = Supervised(bus=bus, runner=runner)
        await supervised.supervisor.start_all()
        runner.fail(OSError("disk full"))
        await supervised.wait_for("runner", ServiceStatus.FAILED)
        await supervised.wait_for("runner", ServiceStatus.ONLINE)
        assert (len(runner.starts), len(bus.starts)) == (2, 1)
        await supervised.supervisor.stop_all()

    virtual_time.run(fail_once())


@pytest.mark.parametrize(
    ("uptime", "delays"),
    [
        (STABLE_AFTER - 1, [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF]),
        (STABLE_AFTER + 1, [FIRST_BACKOFF, FIRST_BACKOFF, FIRST_BACKOFF]),
    ],
)
def test_the_delay_starts_over_once_a_service_was_stable(uptime: float, delays: list[float]) -> None:
    async def fail_after_uptime() -> list[float]:
        work = Work()
        supervised = Supervised(runner=work)
        await supervised.supervisor.start_all()
        waits = []
        for _ in delays:
            await asyncio.sleep(uptime)
            work.fail(OSError("disk full"))
            failed_at = asyncio.get_running_loop().time()
            await supervised.wait_for("runner", ServiceStatus.FAILED)
            await supervised.wait_for("runner", ServiceStatus.ONLINE)
            waits.append(work.starts[-1] - failed_at)
        await supervised.supervisor.stop_all()
        return waits

    assert virtual_time.run(fail_after_uptime()) == pytest.approx(delays, abs=0.05)


def test_a_service_that_failed_is_not_restarted_after_it_was_stopped() -> None:
    async def stop_after_failure() -> None:
        work = Work()
        supervised = Supervised(runner=work)
        await supervised.supervisor.start_all()
        work.fail(OSError("disk full"))
        await supervised.wait_for("runner", ServiceStatus.FAILED)
        await supervised.supervisor.stop("runner")
        await asyncio.sleep(10 * MAX_BACKOFF)
        assert (supervised.status("runner"), len(work.starts)) == (ServiceStatus.OFFLINE, 1)

    virtual_time.run(stop_after_failure())


def test_a_manual_start_replaces_the_pending_restart() -> None:
    async def start_twice() -> None:
        work = Work(error=OSError("disk full"))
        supervised = Supervised(runner=work)
        await supervised.supervisor.start_all()
        with pytest.raises(KeijiError):
            await supervised.supervisor.start("runner")
        assert len(work.starts) == 2
        await asyncio.sleep(1.5 * FIRST_BACKOFF)
        assert len(work.starts) == 2, "the first restart was cancelled, and the second comes after twice the delay"
        await supervised.supervisor.stop_all()
        await asyncio.sleep(10 * MAX_BACKOFF)
        assert len(work.starts) == 2

    virtual_time.run(start_twice())


def test_after_a_stop_the_delay_starts_over() -> None:
    async def stop_and_start() -> None:
        work = Work(error=OSError("disk full"))
        supervised = Supervised(runner=work)
        await supervised.supervisor.start_all()
        await asyncio.sleep(3.5 * FIRST_BACKOFF)
        assert len(work.starts) == 3
        await supervised.supervisor.stop("runner")
        await supervised.supervisor.start_all()
        await asyncio.sleep(1.5 * FIRST_BACKOFF)
        assert len(work.starts) == 5
        await supervised.supervisor.stop_all()

    virtual_time.run(stop_and_start())
