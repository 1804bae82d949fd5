# SPDX-License-Identifier: GPL-2.0-or-later
"""Records samples of the packets that an incident's rules drop, or else of the victim's packets."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

from xdpctl.abi.constants import Reason, SlotNumber
from xdpctl.abi.structs import Capture
from xdpctl.base.net.interfaces import interface_name
from xdpctl.base.net.packets import destination_of, source_of
from xdpctl.base.net.pcapng_writer import Writer
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Connections
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.capture import CaptureAsk, Captures, choose
from xdpctl.control.controller import Controller
from xdpctl.errors import BusyError
from xdpctl.incidents.files import Files, add
from xdpctl.incidents.ledger import attribution
from xdpctl.incidents.rates import Meter, NewcomersOf, victim_of
from xdpctl.incidents.summary import RULE_MARK
from xdpctl.model.incident import Incident

_STEP_SECONDS = 0.25
_AFTER = (0.25, 2.0, 10.0, 30.0, 60.0)  # seconds to the next sampling; the last one repeats
_EVERY, _LOOK_SECONDS, _MOST = 16, 1.0, 4_000
_EACH = 50  # packets of an incident in one sampling
_LOOKS_MAX = 20
_CONNECTED_MAX, _FILE_MAX = 1_000, 4 << 20


@dataclass(slots=True)
class _Watched:
    due: float
    looks: int = 0


class PacketRecorder:
    """Samples packets and measures rates of open incidents, between `start` and `stop`."""

    def __init__(
        self,
        controller: Controller,
        captures: Captures,
        files: Files,
        connections: Connections,
        newcomers: NewcomersOf,
    ) -> None:
        self._controller, self._captures = controller, captures
        self._files, self._connections = files, connections
        self._meter = Meter(controller, files, newcomers)
        self._watched: dict[str, _Watched] = {}
        trouble = "packets and rates of incidents are not recorded"
        self._beat = PeriodicTask("recorder", _STEP_SECONDS, self.step, trouble, rest=_AFTER[-1])
        self.start, self.stop = self._beat.start, self._beat.stop

    def step(self, now: float) -> None:
        """Measure all open incidents, and sample those that are due."""
        incidents = [
            incident
            for incident in list(self._controller.state.incidents.values())
            if incident.open
        ]
        if incidents:
            self._files.prepare()
        self._meter.step(now, incidents)
        due = self._due(incidents, now)
        if due:
            self._files.forget(self._controller.state.incidents)
            with suppress(BusyError):  # many captures are running; retry in the next step
                self.look(due)

    def _due(self, incidents: list[Incident], now: float) -> list[Incident]:
        for incident in incidents:
            self._watched.setdefault(incident.id, _Watched(now + _AFTER[0]))
        for closed in self._watched.keys() - {incident.id for incident in incidents}:
            del self._watched[closed]
        return [
            incident
            for incident in incidents
            if self._watched[incident.id].due <= now
            and self._watched[incident.id].looks < _LOOKS_MAX
        ]

    def look(self, incidents: Iterable[Incident]) -> int:
        """Sample packets of each incident; return how many were recorded.

        BusyError if too many captures are running.
        """
        state = self._controller.state
        rules = {
            slot: (incident.id, rule)
            for incident in incidents
            for slot, rule in attribution.slots(state, incident).items()
        }
        counts: Counter[str] = Counter()
        if rules:
            samples = self._take(rules, counts)
            self._keep(samples)
        if unhit := {
            i.id: prefix for i in incidents if not counts[i.id] and (prefix := victim_of(i))
        }:
            self._keep(self._take_to(unhit, counts))
        now = time.monotonic()
        for incident in incidents:
            watched = self._watched.setdefault(incident.id, _Watched(now))
            watched.looks += 1
            watched.due = now + _AFTER[min(watched.looks, len(_AFTER) - 1)]
        return counts.total()

    def _keep(self, samples: list[tuple[str, str, Capture]]) -> None:
        for identity in dict.fromkeys(name for name, _, _ in samples):
            mine = [(rule, capture) for name, rule, capture in samples if name == identity]
            self._write(identity, mine)
            self._note_connected(identity, [capture for _, capture in mine])

    def _take_to(
        self, victims: Mapping[str, Prefix], counts: Counter[str]
    ) -> list[tuple[str, str, Capture]]:
        """Sample packets to victims, whatever the filter does with them."""
        ask = CaptureAsk(choose("all"), _EVERY, int(SlotNumber.NONE), _LOOK_SECONDS, _MOST)
        samples = []

        def unsated() -> bool:
            return not self._beat.stopping and any(counts[identity] < _EACH for identity in victims)

        for batch in self._captures.begin(ask).batches(unsated):
            for capture in batch:
                to = destination_of(_seen(capture))
                for identity, victim in victims.items():
                    if to and victim.covers(to) and counts[identity] < _EACH:
                        counts[identity] += 1
                        samples.append((identity, "", capture))
        return samples

    def _take(
        self, rules: dict[int, tuple[str, str]], counts: Counter[str]
    ) -> list[tuple[str, str, Capture]]:
        only = next(iter(rules)) if len(rules) == 1 else int(SlotNumber.NONE)
        ask = CaptureAsk(choose("drop"), _EVERY, only, _LOOK_SECONDS, _MOST)
        wanted = {identity for identity, _ in rules.values()}
        samples = []

        def unsated() -> bool:
            enough = all(counts[identity] >= _EACH for identity in wanted)
            return not enough and not self._beat.stopping

        for batch in self._captures.begin(ask).batches(unsated):
            for capture in batch:
                identity, rule = rules.get(capture.slot, ("", ""))
                if identity and counts[identity] < _EACH:
                    counts[identity] += 1
                    samples.append((identity, rule, capture))
        return samples

    def _write(self, identity: str, samples: list[tuple[str, Capture]]) -> None:
        now, section = self._controller.clock.read(), BytesIO()
        writer = Writer(section)
        for rule, capture in samples:
            reason = Reason(capture.reason)
            comment = f"verdict={reason.verdict} reason={reason.name.lower()}"
            comment += f"{RULE_MARK}{rule}" if rule else ""
            unix_ns = int(now.wall(capture.time_ns) * 1e6) * 1000
            interface = interface_name(capture.interface)
            writer.packet(interface, unix_ns, _seen(capture), capture.length, comment)
        add(self._files.packets(identity), section.getvalue(), _FILE_MAX)

    def _note_connected(self, identity: str, captures: list[Capture]) -> None:
        """Record which of the packets' senders have a TCP connection with this host now."""
        peers, path = self._connections.now(), self._files.connected(identity)
        known = path.read_text(errors="replace").split() if path.is_file() else []
        sources = [source for capture in captures if (source := source_of(_seen(capture)))]
        named = [str(source).split("/")[0] for source in sources if source.address in peers]
        fresh = list(dict.fromkeys(name for name in named if name not in known))
        if fresh and len(known) < _CONNECTED_MAX:
            add(path, "".join(f"{name}\n" for name in fresh).encode())


def _seen(capture: Capture) -> bytes:
    return capture.head[: min(capture.length, len(capture.head))]
