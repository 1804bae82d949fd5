# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine has of all nodes: their incidents, and what people changed on them."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from xdpctl.control.state.changes import Summary, summary
from xdpctl.errors import NotFoundError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.notices import Record, decode_parts, decode_record
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.engine.values import Held
from xdpctl.model.incident import Incident, decode

_VALUE_MAX, _NODE_BYTES, _NODE_KEYS = 512 << 10, 8 << 20, 20_000


class FleetChange(NamedTuple):
    """A change of a node: its first step, how many records it touched, whether it can be undone."""

    node: str
    number: int
    first: Summary
    records: int
    undoable: bool


def incidents(engine: Engine) -> dict[str, list[Incident]]:
    """The incidents of all nodes, by node; what cannot be read is left out."""
    by_node: dict[str, list[Incident]] = {}
    for node, kv in _bounded(engine, keys.INCIDENTS):
        try:
            by_node.setdefault(node, []).append(decode(kv.value or b""))
        except ValueError:
            continue
    return by_node


def history(engine: Engine, limit: int) -> list[FleetChange]:
    """The newest changes of all nodes."""
    changes = []
    for node, kv in _bounded(engine, keys.HISTORY):
        number, record = kv.key.rpartition("/")[2], _record(kv.value)
        steps = [parsed for raw in record.summaries if (parsed := summary(raw))] if record else []
        if record and steps and number.isdecimal():
            touched = sum(step.records for step in steps)
            changes.append(FleetChange(node, int(number), steps[0], touched, record.undoable))
    return sorted(changes, key=lambda change: -change.first.at)[:limit]


def _bounded(engine: Engine, area: str) -> Iterator[tuple[str, Held]]:
    """Keys that nodes have written about themselves, by node; limited for each node."""
    number, size = Counter[str](), Counter[str]()
    for page in engine.pages(area):
        for kv in page.held:
            node, value = kv.key.removeprefix(area).partition("/")[0], kv.value or b""
            number[node] += 1
            size[node] += len(value)
            small = len(value) <= _VALUE_MAX and size[node] <= _NODE_BYTES
            if small and number[node] <= _NODE_KEYS:
                yield node, kv


def parts(engine: Engine, node: str, number: int) -> tuple[bytes, ...]:
    """What is needed to undo a change of a node; NotFoundError if it is not there.

    Only nodes that may publish intents can write these keys.
    """
    kv = engine.get(keys.of_node(keys.UNDO, node, str(number)))
    try:
        if kv is not None and kv.value is not None and len(kv.value) <= _VALUE_MAX:
            return decode_parts(kv.value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotFoundError(f"what undoes change {number} of {node} cannot be read") from error
    raise NotFoundError(
        f"change {number} of {node} is not known, or too large to be undone from here: see "
        f"xdpctl history --fleet, and xdpctl --node {node} undo {number}"
    )


def _record(value: bytes | None) -> Record | None:
    if value is None or len(value) > _VALUE_MAX:
        return None
    try:
        return decode_record(value)
    except (msgspec.DecodeError, RecursionError):
        return None
