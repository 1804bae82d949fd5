# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what a watch says has changed: keys that belong together, an intent, a set's pieces."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any

from msgspec import structs

from xdpctl.fleet import keys, shards
from xdpctl.fleet.agent.intake import Incoming
from xdpctl.fleet.agent.member import KnownSet, Member
from xdpctl.fleet.engine.values import Batch, Held
from xdpctl.fleet.engine.watch import Watch
from xdpctl.fleet.intent import VERSION, Intent, Unreadable, decode, kind_named
from xdpctl.fleet.shards import SetDamaged
from xdpctl.model.source_set import Entries

MOST = 5_000  # changes that are taken over in one transaction
_WAITING = 64  # batches that wait to be taken over; then the engine waits


class Fetcher:
    """Makes intents of keys; EngineError if the pieces of a set cannot be read."""

    def __init__(self, member: Member) -> None:
        self._member = member

    def incoming(self, held: Held, place: keys.Place) -> Incoming:
        """The intent of a key, with the entries of a set; a problem if it cannot be read."""
        common: dict[str, Any] = {"node": place.node, "created": held.created}
        if held.value is None:
            return Incoming(place.key, held.revision, None, **common)
        intent: Intent | None = None
        try:
            intent = decode(held.value)
            if kind_named(place.key)[0] != "sets" or intent.removed or place.node:
                return Incoming(place.key, held.revision, intent, **common)
            return self._set(place.key, held, intent)
        except (Unreadable, SetDamaged, ValueError) as error:
            kept = intent or Intent(VERSION, "?", "?", self._member.controller.clock.read().unix)
            return Incoming(place.key, held.revision, kept, problem=str(error), **common)

    def _set(self, key: str, held: Held, intent: Intent) -> Incoming:
        """The intent of a set, with its record as data, and its entries."""
        _, name = kind_named(key)
        manifest = shards.decode(bytes(intent.data))
        room = sum(self._member.controller.state.capacity.values())
        if manifest.entries > room:
            raise SetDamaged(f"it has {manifest.entries:,} entries, and this node has {room:,}")
        entries = self._entries(name, manifest)
        if entries is None:
            newer = self._member.engine.get(keys.intent(key))
            if newer is not None and newer.revision > held.revision:
                return self.incoming(newer, keys.Place(key))
            raise SetDamaged("a piece of it is missing in the engine")
        self._member.know(name, KnownSet(manifest, entries, held.revision))
        return Incoming(key, held.revision, structs.replace(intent, data=manifest.record), entries)

    def _entries(self, name: str, manifest: shards.Manifest) -> Entries | None:
        """The entries of a set; None if a piece is missing. Only what is not known is read."""
        known, most = self._member.sets.get(name), shards.bytes_max(manifest)
        if known and known.manifest.base == manifest.base:
            blobs = self._pieces(name, manifest.deltas[len(known.manifest.deltas) :], most)
            found = shards.advanced(manifest, known.manifest, known.entries, blobs)
            if found is not None:
                return found
        blobs = self._pieces(name, manifest.pieces, most)
        if any(piece not in blobs for piece in manifest.pieces):
            return None
        return shards.assembled(manifest, blobs)

    def _pieces(self, name: str, wanted: Iterable[str], most: int) -> dict[str, bytes]:
        """Pieces by name, without those that are missing; SetDamaged for more bytes than `most`."""
        found: dict[str, bytes] = {}
        for piece in dict.fromkeys(wanted):
            held = self._member.engine.get(keys.of_node(keys.BLOBS, name, piece))
            if held is not None and held.value is not None:
                found[piece] = held.value
                most -= len(held.value)
                if most < 0:
                    raise SetDamaged("its pieces have more bytes than its entries need")
        return found


def together(watch: Watch) -> Generator[Batch, None, None]:
    """What a watch brings, with what has come meanwhile as one; raises what the watch raises."""
    waiting: queue.Queue[Batch | BaseException] = queue.Queue(_WAITING)
    left = threading.Event()

    def put(found: Batch | BaseException) -> None:
        while not left.is_set():
            try:
                return waiting.put(found, timeout=1.0)
            except queue.Full:
                continue  # the engine waits meanwhile

    def read() -> None:
        try:
            for batch in watch:
                put(batch)
        except BaseException as error:  # passed on to the thread that follows
            put(error)

    threading.Thread(target=read, name="fleet watch", daemon=True).start()
    try:
        while True:
            found = waiting.get()
            if isinstance(found, BaseException):
                raise found
            while found.whole and len(found.changes) < MOST and not waiting.empty():
                more = waiting.get()
                if isinstance(more, BaseException):
                    yield found
                    raise more
                found = Batch([*found.changes, *more.changes], more.revision, more.whole)
            yield found
    finally:
        left.set()
        watch.cancel()
