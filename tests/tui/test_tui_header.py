"""The lines at the top of every screen: services by name, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from piloting import running, sees
from scenes import HOME, NOW, before, engine, live, services, snapshot
from waiting import until

from keiji_engine.bus.protocol import ServiceChanged
from keiji_engine.bus.views import LinkChanged, LinkState, ServiceStatus, ServiceView
from keiji_tui.state.store import Store
from keiji_tui.widgets.adaptive_line import Sides
from keiji_tui.widgets.header import connection_banner, engine_line

FULL_DISK = "the database rejects writes: no space left on device"


def store_with(*changed: ServiceView, workspace: str = "/srv/keiji") -> Store:
    store = Store()
    known = {view.name: view for view in (*services(), *changed)}
    found = msgspec.structs.replace(
        snapshot([]),
        services=tuple(known.values()),
        engine=msgspec.structs.replace(engine(), workspace=workspace),
    )
    store.apply(found, NOW)
    return store


def service(name: str, status: ServiceStatus, detail: str = "") -> ServiceView:
    return ServiceView(name=name, status=status, since=before(minutes=3), detail=detail)


def fitting(variants: Sequence[Sides], width: int) -> str:
    """Return the variant that a line of that width shows."""
    return next(
        f"{left.plain} {right.plain}".strip()
        for left, right in variants
        if left.cell_length + right.cell_length < width
    )


@pytest.mark.parametrize(
    "workspace", ["/srv/keiji", f"{HOME}/keiji", "/var/lib/some/rather/long/path/to/the/workspace/of/keiji"]
)
@pytest.mark.parametrize("status", [ServiceStatus.ONLINE, ServiceStatus.DEGRADED])
def test_at_eighty_columns_every_service_has_its_name(workspace: str, status: ServiceStatus) -> None:
    store = store_with(service("scheduler", status), workspace=workspace)
    line = fitting(engine_line(store, NOW, HOME), 78)
    assert all(name in line for name in ("bus", "scheduler", "runner", "watcher", "13:31:57"))
    assert ("degraded" in line) == (status is ServiceStatus.DEGRADED)


def test_a_long_path_is_shortened_before_names_are_dropped() -> None:
    store = store_with(workspace="/var/lib/some/rather/long/path/keiji")
    assert fitting(engine_line(store, NOW, HOME), 78).startswith("keiji  …/keiji ")
    assert fitting(engine_line(store, NOW, HOME), 38).endswith("● ● ● ●   13:31:57")


def test_services_with_the_same_trouble_share_a_line_and_each_trouble_has_its_reason() -> None:
    store = store_with(
        service("scheduler", ServiceStatus.DEGRADED, FULL_DISK),
        service("runner", ServiceStatus.DEGRADED, FULL_DISK),
        service("watcher", ServiceStatus.FAILED, "inotify watch limit reached\x1b[2J"),
    )
    ((line, _),) = connection_banner(store, NOW, readonly=False)
    assert line.plain == f"! scheduler, runner degraded: {FULL_DISK}; watcher failed: inotify watch limit reached"
    store.apply(LinkChanged(LinkState.STALE), NOW)
    assert "degraded" not in connection_banner(store, NOW, readonly=False)[0][0].plain, "it may have recovered"


def test_a_healthy_engine_needs_no_line() -> None:
    assert connection_banner(store_with(service("watcher", ServiceStatus.OFFLINE)), NOW, readonly=False) == []


async def test_a_degraded_service_is_reported_on_the_list_of_tasks_until_it_recovers() -> None:
    app, link = live()
    async with running(app, (80, 24)) as pilot:
        link.happen(ServiceChanged(service=service("runner", ServiceStatus.DEGRADED, FULL_DISK)))
        await until(pilot, sees(app, "runner ◍ degraded", f"! runner degraded: {FULL_DISK}"))
        link.happen(ServiceChanged(service=service("runner", ServiceStatus.ONLINE)))
        await until(pilot, lambda: not sees(app, "runner degraded")())
