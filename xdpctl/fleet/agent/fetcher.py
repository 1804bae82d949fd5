# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns changed keys into intents, and reads the pieces of sets."""

import time
from collections.abc import Iterable
from contextlib import closing, suppress
from typing import Any

from msgspec import structs

from xdpctl.errors import EngineError
from xdpctl.fleet import keys, shards
from xdpctl.fleet.agent.intake import Incoming
from xdpctl.fleet.agent.member import KnownSet, Member
from xdpctl.fleet.engine.values import Held
from xdpctl.fleet.intent import VERSION, Damaged, Intent, Unreadable, decode, kind_named
from xdpctl.fleet.shards import SetDamaged
from xdpctl.model.source_set import Entries

_WORTH = 4  # pieces: fewer are read anew
_ASKED_SECONDS, _ASKED_MOST = 10.0, 4  # times that other members are asked


class Fetcher:
    """Makes intents of keys; EngineError if the pieces of a set cannot be read."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._asked: list[float] = []  # when other members were asked (monotonic)

    def incoming(self, kv: Held, place: keys.Place) -> Incoming:
        """The intent of a key, with the entries of a set; a problem if it cannot be read."""
        common: dict[str, Any] = {"node": place.node, "created": kv.created}
        if kv.value is None:
            return Incoming(place.key, kv.revision, None, **common)
        intent: Intent | None = None
        try:
            kv, intent = self._decoded(kv)
            if kind_named(place.key)[0] != "sets" or intent.removed or place.node:
                return Incoming(place.key, kv.revision, intent, **common)
            return self._set(place.key, kv, intent)
        except (Unreadable, SetDamaged, ValueError) as error:
            envelope = intent or Intent(
                VERSION, "?", "?", self._member.controller.clock.read().unix
            )
            return Incoming(place.key, kv.revision, envelope, problem=str(error), **common)

    def _decoded(self, kv: Held) -> tuple[Held, Intent]:
        try:
            return kv, decode(kv.value or b"")
        except Damaged:
            held = self._elsewhere(kv)
            if held is None:
                raise
            return held, decode(held.value or b"")

    def _elsewhere(self, kv: Held) -> Held | None:
        """A damaged key as another member has it; None if all have the same.

        Anybody may write a value that looks damaged. So a member is only named if it has another
        value than others at the same revision, and others are asked now and then.
        """
        engine = self._member.engine
        here = engine.endpoint
        if kv.key.startswith(keys.FOUND) or not self._may_ask():
            return None
        for held in engine.elsewhere(kv.key):
            if held.revision >= kv.revision and intact(held):
                if held.revision == kv.revision and self._is_damaged(here, held):
                    self._member.damaged[here] = kv.key
                return held
        return None

    def _is_damaged(self, endpoint: str, good: Held) -> bool:
        with closing(self._member.engine.at(endpoint)) as engine:
            kv = engine.get(good.key)
        return kv is not None and kv.revision == good.revision and not intact(kv)

    def _may_ask(self) -> bool:
        now = time.monotonic()
        self._asked = [at for at in self._asked if now - at < _ASKED_SECONDS]
        if len(self._asked) >= _ASKED_MOST:
            return False
        self._asked.append(now)
        return True

    def look_again(self) -> None:
        """Forget damage that a member has no more, and members that are none any more."""
        engine = self._member.engine
        for endpoint, key in list(self._member.damaged.items()):
            still = endpoint in engine.connection.endpoints
            if still:
                with suppress(EngineError), closing(engine.at(endpoint)) as one:
                    kv = one.get(key)
                    still = kv is not None and not intact(kv)
            if not still:
                self._member.damaged.pop(endpoint, None)

    def _set(self, key: str, kv: Held, intent: Intent) -> Incoming:
        """The intent of a set, with its record as data, and its entries."""
        _, name = kind_named(key)
        manifest = shards.decode(bytes(intent.data))
        room = sum(self._member.controller.state.capacity.values())
        if manifest.entries > room:
            raise SetDamaged(f"it has {manifest.entries:,} entries, and this node has {room:,}")
        entries = self._entries(name, manifest)
        if entries is None:
            newer = self._member.engine.get(keys.intent(key))
            if newer is not None and newer.revision > kv.revision:
                return self.incoming(newer, keys.Place(key))
            raise SetDamaged("a piece of it is missing in the engine")
        self._member.know(name, KnownSet(manifest, entries, kv.revision))
        return Incoming(key, kv.revision, structs.replace(intent, data=manifest.record), entries)

    def _entries(self, name: str, manifest: shards.Manifest) -> Entries | None:
        """The entries of a set; None if a piece is missing. Reads only unknown pieces."""
        known, bytes_max = self._member.sets.get(name), shards.bytes_max(manifest)
        if known and known.manifest.base == manifest.base:
            blobs = self._pieces(name, manifest.deltas[len(known.manifest.deltas) :], bytes_max)
            entries = shards.advanced(manifest, known.manifest, known.entries, blobs)
            if entries is not None:
                return entries
        blobs = self._own(name, manifest)
        missing = [piece for piece in manifest.pieces if piece not in blobs]
        blobs |= self._pieces(name, missing, bytes_max)
        if any(piece not in blobs for piece in manifest.pieces):
            return None
        return shards.assembled(manifest, blobs)

    def _own(self, name: str, manifest: shards.Manifest) -> dict[str, bytes]:
        """The pieces that this node has already, as it is after its start."""
        entries = self._member.controller.state.entries.get(name)
        if entries is None or len(manifest.base) < _WORTH:
            return {}
        return shards.pieces_of(entries)

    def _pieces(self, name: str, pieces: Iterable[str], bytes_left: int) -> dict[str, bytes]:
        """Pieces by name, without those that are missing; SetDamaged for more bytes than `most`."""
        blobs: dict[str, bytes] = {}
        for piece in dict.fromkeys(pieces):
            kv = self._member.engine.get(keys.of_node(keys.BLOBS, name, piece))
            if kv is not None and not intact(kv):
                kv = self._elsewhere(kv)
            if kv is not None and kv.value is not None:
                blobs[piece] = kv.value
                bytes_left -= len(kv.value)
                if bytes_left < 0:
                    raise SetDamaged("its pieces have more bytes than its entries need")
        return blobs


def intact(kv: Held) -> bool:
    """Whether the value of an intent, or of a piece of a set, has the checksum that it names."""
    value = kv.value or b""
    if kv.key.startswith(keys.BLOBS):
        return shards.digest(value) == kv.key.rpartition("/")[2]
    try:
        return bool(decode(value))
    except Unreadable as error:
        return not isinstance(error, Damaged)
