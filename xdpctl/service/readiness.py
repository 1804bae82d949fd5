# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether this box is ready, what else should be known, and how full its tables are."""

import os
from typing import NamedTuple

from xdpctl.abi.structs import Constants, Reason
from xdpctl.control.controller import Controller
from xdpctl.lists.refresher import Refresher
from xdpctl.mitigation.hooks import Hooks
from xdpctl.model import sides
from xdpctl.service.loader_report import LoaderReport

_NEARLY_FULL = 0.8


class Fill(NamedTuple):
    """How full a table is."""

    name: str
    used: int
    capacity: int

    @property
    def share(self) -> float:
        """The part of the table that is in use, from 0 to 1."""
        return self.used / self.capacity


def problems(controller: Controller, loader: LoaderReport | None) -> list[str]:
    """Why this box is not ready to take new rules and apply them everywhere."""
    found = [controller.problem] if controller.problem else []
    found += controller.store_problems()
    if controller.state.room < 1:
        found.append(f"the source table is full: {controller.datapath.capacity} rules")
    if controller.datapath.bypass():
        found.append("the bypass is on: everything passes")
    if loader is None:
        return [*found, "the loader has not reported that it runs"]
    if not _runs(loader.pid):
        found.append("the loader is not running: a new interface is not attached")
    elif loader.silent:
        found.append("the loader hangs: a new interface is not attached")
    for name, port in loader.ports.items():
        if port.get("state") != "attached":
            found.append(f"{name} is {port.get('state')}: {port.get('detail')}")
    return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def warnings(controller: Controller, refresher: Refresher, hooks: Hooks) -> list[str]:
    """What does not affect readiness, and should be known."""
    found = refresher.problems()
    by_port = controller.datapath.counters().values()
    faults = sum(counts[Reason.FAULT].packets for counts in by_port if Reason.FAULT in counts)
    if faults:
        found.append(
            f"{faults:,} packets passed as fault: more than 48 limits and monitored rules "
            "matched one of them, or it is a defect; look at `xdpctl list`"
        )
    state = controller.state
    for address in sides.hidden(state.sides, state.sessions):
        found.append(
            f"{address} is logged in, and could not log in again from outside: its network is "
            "not expected there; add it to outside.allow"
        )
    for detector, bodies in dict(hooks.refused_bodies).items():
        found.append(f"{detector} sent too much in a minute: {bodies:,} bodies were refused")
    for fill in fills(controller):
        if fill.share >= _NEARLY_FULL:
            found.append(f"{fill.name} are at {fill.share:.0%}: {fill.used:,} of {fill.capacity:,}")
    return found


def fills(controller: Controller) -> list[Fill]:
    """Every table that can be full."""
    state, nodes = controller.state, controller.datapath.source.nodes
    rules = state.image.capacity - state.room
    return [
        Fill("rules", rules, state.image.capacity),
        *(
            Fill(f"IPv{family} entries", state.used(family), capacity)
            for family, capacity in state.capacity.items()
        ),
        Fill("sets", len(state.sets), Constants.SETS_MAX),
        Fill("signatures", len(state.signatures), Constants.SIGNATURES_MAX),
        Fill("overlaps of sets", nodes.used, nodes.capacity),
    ]
