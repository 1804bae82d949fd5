# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends sets to the engine: pieces first, then the manifest; what no manifest names is deleted.

So a manifest always has its pieces, unless another node deleted them just before.
"""

from collections.abc import Mapping

from msgspec import Raw, structs

from xdpctl.control.state.draft import Draft
from xdpctl.control.store.records import encode_set
from xdpctl.fleet import keys, shards
from xdpctl.fleet.agent.member import KnownSet, Member
from xdpctl.fleet.engine.values import Swap, Swapped
from xdpctl.fleet.intent import Intent, encode
from xdpctl.fleet.shards import Manifest
from xdpctl.model.source_set import Entries, SourceSet

_BYTES = 1_000_000  # of a transaction
_DELETED = 60  # pieces in a transaction


class SetSender:
    """Sends this node's sets as they are now."""

    def __init__(self, member: Member) -> None:
        self._member = member

    def send(self, name: str, base: int, intent: Intent) -> Swapped | None:
        """Send a set in place of the one at revision `base`; None if there is no such set here."""
        member = self._member

        def read(draft: Draft) -> tuple[SourceSet | None, Entries]:
            return draft.sets.get(name), draft.entries_of(name)

        source_set, entries = member.do(read)
        if source_set is None:
            return None
        manifest, pieces = self._cut(name, base, source_set, entries)
        self._put(name, pieces)
        member.contact.made()
        value = encode(structs.replace(intent, data=Raw(shards.encode(manifest))))
        swapped = member.engine.swap([Swap(keys.intent(f"sets/{name}"), value, base)])
        member.contact.made()
        if swapped.done:
            member.know(name, KnownSet(manifest, entries, swapped.revision))
            self._clear(name, manifest, pieces, swapped.revision)
        return swapped

    def removed(self, name: str) -> None:
        """Delete the pieces of a set that was removed."""
        self._member.engine.remove_below(keys.of_node(keys.BLOBS, name))
        self._member.sets.pop(name, None)

    def _cut(
        self, name: str, base: int, source_set: SourceSet, entries: Entries
    ) -> tuple[Manifest, dict[str, bytes]]:
        """The manifest, and the pieces that the engine lacks."""
        known = self._member.sets.get(name)
        record = encode_set(source_set.replace(slot=0))
        if known is None or known.revision != base:  # its deltas may be gone
            return shards.whole(record, entries)
        return shards.changed(record, known.manifest, known.entries, entries)

    def _put(self, name: str, pieces: Mapping[str, bytes]) -> None:
        """Write the pieces that the engine lacks."""
        prefix, swaps = keys.of_node(keys.BLOBS, name), list[Swap]()
        held = self._member.engine.snapshot(prefix, keys_only=True).held if pieces else []
        present = {kv.key.removeprefix(prefix) for kv in held}
        size = 0
        for piece, data in pieces.items():
            if piece in present:
                continue
            if swaps and size + len(data) > _BYTES:
                self._member.engine.swap(swaps)
                swaps, size = [], 0
            swaps.append(Swap(keys.of_node(keys.BLOBS, name, piece), data, None))
            size += len(data)
        if swaps:
            self._member.engine.swap(swaps)

    def _clear(
        self, name: str, manifest: Manifest, pieces: Mapping[str, bytes], revision: int
    ) -> None:
        """Delete pieces that no manifest names, if ours is still the newest.

        Another node may have deleted some of ours just before our manifest was written: put them
        back.
        """
        prefix, engine = keys.of_node(keys.BLOBS, name), self._member.engine
        kvs = engine.snapshot(prefix, keys_only=True).held
        present = {kv.key.removeprefix(prefix) for kv in kvs}
        if missing := {piece: data for piece, data in pieces.items() if piece not in present}:
            self._put(name, missing)
        used = {prefix + piece for piece in manifest.pieces}
        unused = [Swap(kv.key, None, kv.revision) for kv in kvs if kv.key not in used]
        newest = engine.get(keys.intent(f"sets/{name}"))
        if unused and newest is not None and newest.revision == revision:
            engine.swap(unused[:_DELETED], {newest.key: revision})
