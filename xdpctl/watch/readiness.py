# SPDX-License-Identifier: GPL-2.0-or-later
"""Readiness of this host, warnings, and the fill levels of its tables."""

import os
from typing import NamedTuple

from xdpctl.abi.constants import Constants, Reason
from xdpctl.control.controller import Controller
from xdpctl.lists.refresher import Refresher
from xdpctl.mitigation.hooks import Hooks
from xdpctl.model import sides
from xdpctl.watch.loader_report import LoaderReport

_NEARLY_FULL = 0.8


class Fill(NamedTuple):
    """The fill level of a table."""

    name: str
    used: int
    capacity: int

    @property
    def share(self) -> float:
        """The share of the table that is in use, from 0 to 1."""
        return self.used / self.capacity


def problems(controller: Controller, loader: LoaderReport | None) -> list[str]:
    """Why this host cannot accept new rules and apply them everywhere; empty if it can."""
    reasons = [controller.problem] if controller.problem else []
    reasons += controller.store_problems()
    if controller.state.room < 1:
        reasons.append(f"the source table is full: {controller.datapath.capacity} rules")
    if controller.datapath.bypass():
        reasons.append("the bypass is on: everything passes")
    if loader is None:
        return [*reasons, "there is no report of the loader: is it running?"]
    if not runs(loader.pid):
        reasons.append("the loader is not running: new interfaces are not attached")
    elif loader.silent:
        reasons.append("the loader hangs: new interfaces are not attached")
    for name, port in loader.ports.items():
        if port.get("state") != "attached":
            reasons.append(f"{name} is {port.get('state')}: {port.get('detail')}")
    return reasons


def runs(pid: int) -> bool:
    """Whether a process with this id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, as another user
    return True


def warnings(controller: Controller, refresher: Refresher, hooks: Hooks) -> list[str]:
    """Warnings that do not affect readiness."""
    lines = refresher.problems()
    by_port = controller.datapath.counters().values()
    faults = sum(counts[Reason.FAULT].packets for counts in by_port if Reason.FAULT in counts)
    if faults:
        lines.append(
            f"{faults:,} packets passed with the reason fault: more than 48 limits and monitored "
            "rules matched a packet, or there is a defect; see `xdpctl list`"
        )
    state = controller.state
    for address in sides.hidden(state.sides, state.logins):
        lines.append(
            f"{address} is logged in, but could not log in again from outside: its network is "
            "dropped as spoofed there; add it to outside.allow"
        )
    for detector, bodies in dict(hooks.refused_bodies).items():
        lines.append(f"{detector} exceeded its limit per minute: {bodies:,} bodies were refused")
    for fill in fills(controller):
        if fill.share >= _NEARLY_FULL:
            lines.append(
                f"{fill.name} are {fill.share:.0%} full: {fill.used:,} of {fill.capacity:,}"
            )
    return lines


def fills(controller: Controller) -> list[Fill]:
    """The fill level of every table that can be full."""
    state, nodes = controller.state, controller.datapath.source.nodes
    rules = state.image.capacity - state.room
    return [
        Fill("rules", rules, state.image.capacity),
        *(
            Fill(f"IPv{family} entries", state.used(family), capacity)
            for family, capacity in state.capacity.items()
        ),
        Fill("sets", len(state.sets), Constants.SETS_MAX),
        Fill("matches", len(state.matches), Constants.SIGNATURES_MAX),
        Fill("overlaps of sets", nodes.used, nodes.capacity),
    ]
