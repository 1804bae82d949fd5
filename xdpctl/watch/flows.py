# SPDX-License-Identifier: GPL-2.0-or-later
"""Watches the flow memory: whether it knows the flows that are looked up, and is large enough."""

import logging
import math
import socket
from collections.abc import Callable, Mapping
from typing import Any

from xdpctl.abi.constants import Asking, MemoryNumber
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.datapath.flow_memory import FlowMemory, MemoryFigures
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.symmetry import Symmetry, glance

_SECONDS = 10.0
_TROUBLE = "the flow memory is not watched"
log = logging.getLogger("xdpctl.flows")


def index_of(interface: str) -> int | None:
    """The index of an interface; None if there is none of that name now."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return None


class FlowWatch:
    """Switches the flow memory off for an interface whose answers leave elsewhere (asymmetric).

    `ports` returns the interfaces as the loader reports them.
    """

    def __init__(
        self,
        controller: Controller,
        sampler: Sampler,
        ports: Callable[[], Mapping[str, Mapping[str, Any]]],
        index: Callable[[str], int | None] = index_of,
    ) -> None:
        self._controller, self._sampler = controller, sampler
        self._index, self._ports = index, ports
        self._symmetry: dict[str, Symmetry] = {}
        self._before: MemoryFigures | None = None
        self._needed = 0  # flows, if the memory was too small
        self._refused = 0
        self._answers: MemoryFigures | None = None
        self._unremembered = 0  # sources that answered a challenge, since the last step
        self._beat = PeriodicTask("flows", _SECONDS, self.step, _TROUBLE)
        self.start, self.stop = self._beat.start, self._beat.stop

    @property
    def _flows(self) -> FlowMemory:
        return self._controller.datapath.flows

    def step(self, _: float = 0.0) -> None:
        """Judge each interface by what came in since the last step."""
        asking = self._flows.asking()
        outside = {name: state for name, state in asking.items() if state is not Asking.ASKS_NOT}
        if not outside:
            return
        quiet = not any(incident.open for incident in self._controller.state.incidents.values())
        sample = self._sampler.window.last(_SECONDS)
        for name, state in outside.items():
            index = self._index(name)
            if index is not None:
                window = glance(sample, index)
                self._judge(name, state, window._replace(quiet=quiet and window.quiet))
        self._measure(self._flows.figures())
        answers = self._flows.figures(MemoryNumber.ANSWERED)
        self._unremembered = answers.refused - (self._answers or answers).refused
        self._answers = answers

    def _judge(self, name: str, state: Asking, window: Any) -> None:
        was = state is Asking.ASKS_NOT_ASYMMETRIC
        symmetry = self._symmetry.setdefault(name, Symmetry(was))
        symmetry.add(window)
        if symmetry.asymmetric == was:
            return
        self._flows.ask(name, Asking.ASKS_NOT_ASYMMETRIC if symmetry.asymmetric else Asking.ASKS)
        verb = "is" if symmetry.asymmetric else "is no longer"
        share = symmetry.known
        log.warning("%s: routing %s asymmetric: %.0f %% of TCP is known", name, verb, 100 * share)
        detail = {"interface": name, "asymmetric": symmetry.asymmetric, "known": symmetry.known}
        self._controller.submit(
            lambda draft: draft.note("xdpctl", "flows.asymmetric", name, **detail)
        )

    def _measure(self, now: MemoryFigures) -> None:
        before, self._before = self._before, now
        if before is None:
            return
        self._refused = now.refused - before.refused
        if now.rotations > before.rotations:
            self._needed = 0
        if now.early > before.early:
            lasted = max((now.begun_ns - before.begun_ns) / 1e9, 1.0)
            self._needed = _rounded(now.full * now.age / lasted)

    def warnings(self) -> list[str]:
        warnings = [
            f"what goes out of {name} does not teach the flow memory ({port['teaches_not']}): "
            "rules spare only TCP connections of this host there"
            for name, port in self._ports().items()
            if port.get("teaches_not")
        ]
        warnings += [
            f"only {symmetry.known:.0%} of the TCP packets that come in on {name} are of flows "
            "that go out there (asymmetric routing): rules spare only TCP connections of this host "
            "there"
            for name, symmetry in self._symmetry.items()
            if symmetry.asymmetric
        ]
        if self._needed:
            warnings.append(
                "the flow memory was full before its age, so flows are forgotten early: set "
                f"flow_memory.flows to {self._needed:,}"
            )
        if self._refused and self._before:
            warnings.append(
                f"{self._before.refused_of} opens more new flows than flow_memory.new_per_source "
                f"allows: {self._refused:,} in {_SECONDS:g} s were not learned"
            )
        if self._unremembered and self._answers:
            warnings.append(
                f"{self._unremembered:,} sources answered a challenge in {_SECONDS:g} s and are "
                "not remembered: their network has too many, or the memory is full (the last one "
                f"was {self._answers.refused_of}); they have to answer again"
            )
        return warnings


def _rounded(number: float) -> int:
    """Rounded up to two significant digits."""
    unit: int = 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return math.ceil(number / unit) * unit
