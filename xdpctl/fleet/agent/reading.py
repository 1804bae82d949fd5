# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine has of all nodes: their incidents, and what people changed on them."""

from typing import NamedTuple

import msgspec

from xdpctl.control.state.changes import Summary, summary
from xdpctl.errors import NotFoundError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.telling import Record, decode_record
from xdpctl.fleet.engine.client import Engine
from xdpctl.model.incident import Incident, decode

_VALUE_MAX = 512 << 10


class FleetChange(NamedTuple):
    """A change of a node: its first step, how many records it touched, and whether it can go."""

    node: str
    number: int
    first: Summary
    records: int
    undoable: bool


def incidents(engine: Engine) -> dict[str, list[Incident]]:
    """The incidents of all nodes, by node; what cannot be read is left out."""
    found: dict[str, list[Incident]] = {}
    for held in engine.snapshot(keys.INCIDENTS).held:
        node = held.key.removeprefix(keys.INCIDENTS).partition("/")[0]
        if held.value is None or len(held.value) > _VALUE_MAX:
            continue
        try:
            found.setdefault(node, []).append(decode(held.value))
        except ValueError:
            continue
    return found


def history(engine: Engine, limit: int) -> list[FleetChange]:
    """The newest changes of all nodes."""
    found = []
    for held in engine.snapshot(keys.HISTORY).held:
        node, _, number = held.key.removeprefix(keys.HISTORY).partition("/")
        record = _record(held.value)
        steps = [one for raw in record.summaries if (one := summary(raw))] if record else []
        if record and steps and number.isdigit():
            touched = sum(step.records for step in steps)
            found.append(FleetChange(node, int(number), steps[0], touched, bool(record.parts)))
    return sorted(found, key=lambda change: -change.first.at)[:limit]


def parts(engine: Engine, node: str, number: int) -> tuple[bytes, ...]:
    """What is needed to undo a change of a node; NotFoundError if it is not there."""
    held = engine.get(keys.of_node(keys.HISTORY, node, str(number)))
    record = _record(held.value) if held else None
    if record is None:
        raise NotFoundError(f"no change {number} of {node} is known: see xdpctl fleet history")
    if not record.parts:
        raise NotFoundError(
            f"change {number} of {node} is too large to be undone from here: "
            f"xdpctl --node {node} undo {number}"
        )
    return record.parts


def _record(value: bytes | None) -> Record | None:
    if value is None or len(value) > _VALUE_MAX:
        return None
    try:
        return decode_record(value)
    except (msgspec.DecodeError, RecursionError):
        return None
