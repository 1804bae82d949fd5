# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of what the detector has learnt, and of its answers; it survives restarts.

A line of JSON with the rates and answers, then the kept packets as a numpy array.
"""

import io
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from xdpctl.base.system.owned_folder import read_file, replace_file
from xdpctl.detectors.builtin.engine import Engine
from xdpctl.detectors.builtin.hold import Hold
from xdpctl.detectors.builtin.memory import NormalTraffic
from xdpctl.detectors.builtin.usual import Usual
from xdpctl.errors import RuleError
from xdpctl.traffic.packets import PACKET

_BYTES_MAX = 64 << 20
_PACKETS_MAX = 100_000
log = logging.getLogger("xdpctl.detect")


@dataclass(slots=True)
class Learnt:
    """What an engine begins with."""

    usual: Usual
    normal: NormalTraffic
    holds: Sequence[Hold] = field(default_factory=list)
    earlier: Sequence[Hold] = field(default_factory=list)


def write(path: Path, engine: Engine) -> None:
    """Write what the engine knows; OSError if it cannot be written."""
    head = {
        "usual": engine.usual.as_json(),
        "holds": msgspec.to_builtins(engine.holds.active),
        "earlier": msgspec.to_builtins(engine.holds.earlier),
    }
    out = io.BytesIO()
    out.write(json.dumps(head).encode() + b"\n")
    np.save(out, engine.normal.packets(), allow_pickle=False)
    replace_file(path, out.getvalue())


def read(path: Path, unix: float) -> Learnt:
    """What was written; nothing is known if there is no such file, or it is damaged."""
    try:
        return _read(read_file(path, _BYTES_MAX), unix)
    except FileNotFoundError:
        return Learnt(Usual(unix), NormalTraffic())
    except (
        OSError,
        ValueError,
        EOFError,
        RecursionError,
        RuleError,
        msgspec.MsgspecError,
    ) as error:
        log.warning("what was learnt cannot be read, and is learnt anew: %s", error)
        return Learnt(Usual(unix), NormalTraffic())


def read_usual(path: Path) -> Usual:
    """The rates that were written last; nothing is known if they cannot be read."""
    unix = time.time()
    try:
        line = read_file(path, _BYTES_MAX).partition(b"\n")[0]
        return Usual.from_json(_head(line).get("usual"), unix)
    except (OSError, ValueError, RecursionError, RuleError):
        return Usual(unix)


def _head(line: bytes) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("it does not begin with an object")
    return found


def _read(data: bytes, unix: float) -> Learnt:
    line, _, rest = data.partition(b"\n")
    head = _head(line)
    packets = np.load(io.BytesIO(rest), allow_pickle=False)
    if packets.dtype != PACKET or packets.ndim != 1 or len(packets) > _PACKETS_MAX:
        raise ValueError("the packets are of another version")
    normal = NormalTraffic()
    normal.restore(packets)
    holds, earlier = (
        msgspec.convert(head.get(name, []), list[Hold]) for name in ("holds", "earlier")
    )
    for hold in (*holds, *earlier):  # what cannot be read later is found out now
        _ = hold.prefix, hold.of_kind, hold.parsed()
    return Learnt(Usual.from_json(head.get("usual"), unix), normal, holds, earlier)
