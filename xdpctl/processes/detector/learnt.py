# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of what the detector has learnt; it survives restarts.

A line of JSON with the rates and earlier mitigations, then the kept packets. What people's packets
carry is not stored.
"""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import numpy as np

from xdpctl.base.system.owned_folder import read_file
from xdpctl.errors import RuleError
from xdpctl.flood.engine import Engine
from xdpctl.flood.memory import NormalTraffic
from xdpctl.flood.mitigation import Mitigation
from xdpctl.flood.usual import Usual
from xdpctl.traffic.classify import classified
from xdpctl.traffic.packets import PACKET

_BYTES_MAX = 64 << 20
_PACKETS_MAX = 100_000
_UNUSED = ("mac", "came_by", *(name for name in PACKET.names or () if name.startswith("payload")))
_NAMES = tuple(name for name in PACKET.names or () if name not in _UNUSED)
_STORED = np.dtype([(name, PACKET[name]) for name in _NAMES])
_COLUMNS = str(_STORED.descr)
log = logging.getLogger("xdpctl.detect")


@dataclass(slots=True)
class Learnt:
    """What an engine begins with."""

    usual: Usual
    normal: NormalTraffic
    ceilings: Usual = field(default_factory=lambda: Usual(0.0))
    earlier: Sequence[Mitigation] = field(default_factory=list)


def packed(engine: Engine) -> bytes:
    """The file of what the engine knows."""
    packets = engine.normal.packets()
    stored = np.empty(len(packets), _STORED)
    for name in _NAMES:
        stored[name] = packets[name]
    head = {
        "usual": engine.usual.as_json(),
        "ceilings": engine.ceilings.usual.as_json(),
        "earlier": msgspec.to_builtins(engine.mitigations.earlier.all),
        "columns": _COLUMNS,
        "packets": len(packets),
    }
    return json.dumps(head).encode() + b"\n" + stored.tobytes()


def read(path: Path, unix: float) -> Learnt:
    """What was written; nothing is known if there is no such file, or it is damaged."""
    try:
        return _read(read_file(path, _BYTES_MAX), unix)
    except FileNotFoundError:
        return Learnt(Usual(unix), NormalTraffic())
    except (
        OSError,
        ValueError,
        RecursionError,
        RuleError,
        msgspec.MsgspecError,
    ) as error:
        log.warning("what was learnt cannot be read, and is learnt anew: %s", error)
        return Learnt(Usual(unix), NormalTraffic())


class LearntFile:
    """The file as another process reads it: again only when it has changed. Any thread may ask."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        self._stamp: tuple[int, ...] | None = None
        self._found = Learnt(Usual(0.0), NormalTraffic())

    def read(self) -> Learnt:
        """What was written last."""
        with self._lock:
            try:
                status = self._path.stat()
                stamp = status.st_mtime_ns, status.st_ino, status.st_size
            except OSError:
                stamp = None
            if stamp is None or stamp != self._stamp:
                self._found, self._stamp = read(self._path, time.time()), stamp
            return self._found


def _head(line: bytes) -> dict[str, Any]:
    head = json.loads(line)
    if not isinstance(head, dict):
        raise ValueError("it does not begin with an object")
    return head


def _earlier(entries: object) -> Iterator[Mitigation]:
    """The mitigations that can be read: a damaged one does not spoil the rest of the file."""
    for entry in msgspec.convert(entries, list[Any]):
        try:
            mitigation = msgspec.convert(entry, Mitigation)
            mitigation.check()
        except (ValueError, RuleError) as error:
            log.warning("an earlier mitigation cannot be read: %s", error)
        else:
            yield mitigation


def _read(data: bytes, unix: float) -> Learnt:
    line, _, rest = data.partition(b"\n")
    head = _head(line)
    count = head.get("packets")
    if head.get("columns") != _COLUMNS or not isinstance(count, int) or count > _PACKETS_MAX:
        raise ValueError("the packets are of another version")
    if len(rest) != count * _STORED.itemsize:
        raise ValueError("packets are missing")
    stored, packets = np.frombuffer(rest, _STORED), np.zeros(count, PACKET)
    for name in _NAMES:
        packets[name] = stored[name]
    packets["payload_cut"] = packets["destination_port"] >= 0
    normal = NormalTraffic()
    normal.restore(classified(packets))
    earlier = list(_earlier(head.get("earlier", [])))
    usual, ceilings = (Usual.from_json(head.get(name), unix) for name in ("usual", "ceilings"))
    return Learnt(usual, normal, ceilings, earlier)
