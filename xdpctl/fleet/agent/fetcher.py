# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns changed keys into intents, and reads the pieces of sets."""

import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from msgspec import structs

from xdpctl.fleet import keys, shards
from xdpctl.fleet.agent.intake import Incoming
from xdpctl.fleet.agent.member import KnownSet, Member
from xdpctl.fleet.engine.values import Held
from xdpctl.fleet.intent import VERSION, Damaged, Intent, Unreadable, decode, kind_named
from xdpctl.fleet.shards import SetDamaged
from xdpctl.model.source_set import Entries

_ASKED_SECONDS, _ASKED_MOST = 10.0, 20


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
            kv = self._intact(kv)
            intent = decode(kv.value or b"")
            if kind_named(place.key)[0] != "sets" or intent.removed or place.node:
                return Incoming(place.key, kv.revision, intent, **common)
            return self._set(place.key, kv, intent)
        except (Unreadable, SetDamaged, ValueError) as error:
            envelope = intent or Intent(
                VERSION, "?", "?", self._member.controller.clock.read().unix
            )
            return Incoming(place.key, kv.revision, envelope, problem=str(error), **common)

    def _intact(self, kv: Held) -> Held:
        """The key; if the data of this member is damaged, as another one has it."""
        if intact(kv) or not self._may_ask():
            return kv
        engine = self._member.engine
        here = engine.endpoint
        for held in engine.elsewhere(kv.key):
            if held.revision >= kv.revision and intact(held):
                self._member.damaged[here] = kv.key
                return held
        return kv

    def _may_ask(self) -> bool:
        """Whether other members may be asked: anybody can write values that look damaged."""
        now = time.monotonic()
        self._asked = [at for at in self._asked if now - at < _ASKED_SECONDS]
        if len(self._asked) >= _ASKED_MOST:
            return False
        self._asked.append(now)
        return True

    def look_again(self) -> None:
        """Forget damage that a member has no more."""
        for endpoint, key in list(self._member.damaged.items()):
            with closing(self._member.engine.at(endpoint)) as engine:
                kv = engine.get(key)
            if kv is None or intact(kv):
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
        blobs = self._pieces(name, manifest.pieces, bytes_max)
        if any(piece not in blobs for piece in manifest.pieces):
            return None
        return shards.assembled(manifest, blobs)

    def _pieces(self, name: str, pieces: Iterable[str], bytes_left: int) -> dict[str, bytes]:
        """Pieces by name, without those that are missing; SetDamaged for more bytes than `most`."""
        blobs: dict[str, bytes] = {}
        for piece in dict.fromkeys(pieces):
            kv = self._member.engine.get(keys.of_node(keys.BLOBS, name, piece))
            if kv is not None and (value := self._intact(kv).value) is not None:
                blobs[piece] = value
                bytes_left -= len(value)
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
