"""Keeps some of the packets that an incident's rules drop: what it looked like, to be shown later.

One pcapng file an incident, in which each look is a section of its own. Whoever asks for a capture
goes before: a look steps back, and comes again.
"""

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xdpctl.capturing import CaptureAsk, Capturing, choose
from xdpctl.controller import Controller
from xdpctl.errors import ConflictError, XdpctlError
from xdpctl.incidents.model import Incident
from xdpctl.match.match import ID_MARK
from xdpctl.model import parse_rule_id
from xdpctl.pcapng import Writer
from xdpctl.wire import Capture, Reason, SlotNumber

_STEP_SECONDS = 0.25
_AFTER = (0.25, 2.0, 10.0, 30.0, 60.0)  # seconds to the next look; the last one again and again
_EVERY, _LOOK_SECONDS, _MOST = 16, 1.0, 4_000
_EACH = 50  # packets of an incident in one look
_LOOKS_MAX = 20
log = logging.getLogger("xdpctl.incidents")


@dataclass(slots=True)
class _Watched:
    due: float
    looks: int = 0


class Witness:
    """Start it, stop it; `file` is where an incident's packets are."""

    def __init__(self, controller: Controller, folder: Path) -> None:
        self._controller, self._folder = controller, folder
        self._watched: dict[str, _Watched] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def file(self, identity: str) -> Path:
        """There may be none, if nothing was dropped or nobody looked."""
        return self._folder / f"{identity}.pcapng"

    def _run(self) -> None:
        while not self._stop.wait(_STEP_SECONDS):
            try:
                due = self._due(time.monotonic())
                if due:
                    self._forget()
                    self.look(due)
            except ConflictError:
                continue  # somebody captures; again in a moment
            except (OSError, XdpctlError) as error:
                log.warning("no packets are kept: %s", error)
                self._stop.wait(_AFTER[-1])

    def _due(self, now: float) -> list[Incident]:
        """The open ones whose next look has come."""
        held = [one for one in list(self._controller.state.incidents.values()) if one.open]
        for one in held:
            self._watched.setdefault(one.id, _Watched(now + _AFTER[0]))
        for gone in self._watched.keys() - {one.id for one in held}:
            del self._watched[gone]
        return [
            one
            for one in held
            if self._watched[one.id].due <= now and self._watched[one.id].looks < _LOOKS_MAX
        ]

    def look(self, incidents: Iterable[Incident]) -> int:
        """Take some packets of each; how many."""
        rules = {slot: (one.id, rule) for one in incidents for slot, rule in self._slots(one)}
        taken: Counter[str] = Counter()
        if rules:
            kept = self._take(rules, taken)
            for identity in taken:
                self._write(identity, [held for held in kept if held[0] == identity])
        now = time.monotonic()
        for one in incidents:
            watched = self._watched.setdefault(one.id, _Watched(now))
            watched.looks += 1
            watched.due = now + _AFTER[min(watched.looks, len(_AFTER) - 1)]
        return taken.total()

    def _slots(self, held: Incident) -> list[tuple[int, str]]:
        """Of the rules that stand because of it, as far as it lists them."""
        state, found = self._controller.state, []
        for done in held.rules:
            if done.ended_at:
                continue
            if done.id.startswith(ID_MARK):
                signature = state.signatures.get(done.id)
                slot = signature.slot if signature else None
            else:
                slot = state.image.entries.get(parse_rule_id(done.id))
            if slot is not None:
                found.append((slot, done.id))
        return found

    def _take(
        self, rules: dict[int, tuple[str, str]], taken: Counter[str]
    ) -> list[tuple[str, str, Capture]]:
        only = next(iter(rules)) if len(rules) == 1 else int(SlotNumber.NONE)
        ask = CaptureAsk(choose("drop"), _EVERY, only, _LOOK_SECONDS, _MOST)
        capturing = Capturing(self._controller.datapath, ask, yields=True)
        wanted = {identity for identity, _ in rules.values()}
        kept = []

        def unsated() -> bool:
            enough = all(taken[identity] >= _EACH for identity in wanted)
            return not enough and not self._stop.is_set()

        for batch in capturing.batches(unsated):
            for capture in batch:
                identity, rule = rules.get(capture.slot, ("", ""))
                if identity and taken[identity] < _EACH:
                    taken[identity] += 1
                    kept.append((identity, rule, capture))
        return kept

    def _write(self, identity: str, kept: list[tuple[str, str, Capture]]) -> None:
        now = self._controller.clock.read()
        self._folder.mkdir(mode=0o750, exist_ok=True)
        with self.file(identity).open("ab") as file:
            writer = Writer(file)
            for _, rule, capture in kept:
                reason = Reason(capture.reason)
                data = capture.head[: min(capture.length, len(capture.head))]
                comment = f"verdict={reason.verdict} reason={reason.name.lower()} rule={rule}"
                unix_ns = int(now.wall(capture.time_ns) * 1e6) * 1000
                writer.packet(_name(capture.interface), unix_ns, data, capture.length, comment)

    def _forget(self) -> None:
        """Files of incidents that are no longer on record."""
        if not self._folder.is_dir():
            return
        known = self._controller.state.incidents
        for path in self._folder.glob("*.pcapng"):
            if path.stem not in known:
                path.unlink(missing_ok=True)


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"#{index}"
