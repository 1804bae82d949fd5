# SPDX-License-Identifier: GPL-2.0-or-later
"""Publishes what happened on this node: its part of incidents, and what people changed."""

from collections.abc import Iterator

import msgspec
from msgspec import structs

from xdpctl.control.store.kinds import AUTOMATIC_MODE
from xdpctl.fleet import keys
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.engine.values import Swap
from xdpctl.model.incident import Incident, encode
from xdpctl.model.rule import OPERATOR
from xdpctl.model.shared import key_of

_DAY = 86_400.0
_INCIDENT_SECONDS, _HISTORY_SECONDS = 30 * _DAY, 7 * _DAY
_AT_ONCE = 20
_PARTS_MAX = 200_000  # bytes of a change; a larger one can be undone only on its node
_EVENTS, _RULES, _SOURCES, _NOTES = 20, 20, 10, 20


class Record(msgspec.Struct, frozen=True):
    """A change that a person made: summaries of its steps, and whether it can be undone."""

    summaries: tuple[bytes, ...]
    undoable: bool  # what is needed to undo it is not too large


encode_record = msgspec.msgpack.Encoder().encode
decode_record = msgspec.msgpack.Decoder(Record).decode
decode_parts = msgspec.msgpack.Decoder(tuple[bytes, ...]).decode


class Telling:
    """Writes incidents and history below this node's own keys; `step` writes what is new."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._incidents: dict[str, float] = {}  # by id: when the published version was updated
        self._change = -1  # the highest number published; -1: not known

    def step(self) -> None:
        """Publish what is new; EngineError if the engine does not answer."""
        self._tell_incidents()
        self._tell_history()

    def own_keys(self) -> Iterator[str]:
        """The keys of all that this node has and that could be shared."""
        state = self._member.controller.state
        for rule in state.all_rules():
            if rule.origin == OPERATOR:
                yield key_of(rule)
        for field in ("sets", "tokens"):
            for name in list(getattr(state, field)):
                yield f"{field}/{name}"
        if AUTOMATIC_MODE in state.settings:  # other settings are about this node's own peers
            yield f"settings/{AUTOMATIC_MODE}"

    def _tell_incidents(self) -> None:
        state, now = self._member.controller.state, self._member.controller.clock.read().unix
        fresh = [
            incident
            for incident in list(state.incidents.values())
            if now - incident.updated_at < _DAY
            and self._incidents.get(incident.id) != incident.updated_at
        ]
        for incident in fresh[:_AT_ONCE]:
            key = keys.of_node(keys.INCIDENTS, self._member.name, incident.id)
            lease = self._member.leases.until(_INCIDENT_SECONDS)
            self._member.engine.put(key, encode(_shortened(incident)), lease)
            self._incidents[incident.id] = incident.updated_at

    def _tell_history(self) -> None:
        member, store = self._member, self._member.controller.store
        prefix = keys.of_node(keys.HISTORY, self._member.name)
        if self._change < 0:
            kvs = self._member.engine.snapshot(prefix, keys_only=True).held
            names = (kv.key.removeprefix(prefix) for kv in kvs)
            self._change = max((int(n) for n in names if n.isdigit()), default=0)
        newest = store.last_change()
        for number in range(self._change + 1, min(newest, self._change + _AT_ONCE) + 1):
            rows = [raw for change, raw in store.summaries(number + 1, 1) if change == number]
            if rows:
                parts = tuple(store.parts(number))
                undoable = member.states and sum(map(len, parts)) <= _PARTS_MAX
                value = encode_record(Record(tuple(rows[:50]), undoable))
                lease = member.leases.until(_HISTORY_SECONDS)
                swaps = [Swap(f"{prefix}{number}", value, None, lease)]
                if undoable:
                    key = keys.of_node(keys.UNDO, member.name, str(number))
                    swaps.append(Swap(key, encode_record(parts), None, lease))
                member.engine.swap(swaps)
            self._change = number


def _shortened(incident: Incident) -> Incident:
    """An incident with the first of each list, which its node has whole."""
    return structs.replace(
        incident,
        events=incident.events[:_EVENTS],
        rules=incident.rules[:_RULES],
        sources=incident.sources[:_SOURCES],
        notes=incident.notes[:_NOTES],
        findings=(),
        active=incident.active[:_EVENTS],
    )
