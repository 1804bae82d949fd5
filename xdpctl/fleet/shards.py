# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets in pieces for the engine, which takes at most 1.5 MB at once. Pure.

A *manifest* names the pieces of a set by their hashes: the base, and deltas with what was added and
removed since. So a small change sends, and a node that has the base reads, only a small delta.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix_arrays import FAMILIES, Keys, difference, raw6
from xdpctl.errors import XdpctlError
from xdpctl.model.source_set import NOTHING, Entries, count, decode_entries, encode_entries

_PIECE = {4: 40_000, 6: 12_000}  # entries of a piece: some 200 kB, and at most four times that
_ODD = np.uint64(0x9E3779B97F4A7C15)
_DELTAS_MAX, _DELTA_SHARE, _DELTA_BYTES = 8, 0.2, 1_000_000
_PIECES_MAX, _ENTRY_BYTES = 2_000, 40
_SIZE = np.dtype("<u4")
Blobs = Mapping[str, bytes]  # by SHA-256, in hex


class SetDamaged(XdpctlError):
    """The pieces of a set do not fit together, or one is missing."""


class Manifest(msgspec.Struct, frozen=True):
    """A set: its record, the hashes of its pieces in order, and of its whole content."""

    record: msgspec.Raw
    base: tuple[str, ...]
    deltas: tuple[str, ...]
    entries: int
    digest: str

    @property
    def pieces(self) -> tuple[str, ...]:
        """The hashes of all pieces."""
        return (*self.base, *self.deltas)


_decoder = msgspec.json.Decoder(Manifest)
encode = msgspec.json.Encoder().encode


def decode(data: bytes) -> Manifest:
    """The manifest; SetDamaged if it is not valid."""
    try:
        manifest = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise SetDamaged(f"the manifest cannot be read: {str(error)[:120]}") from None
    if len(manifest.pieces) > _PIECES_MAX:
        raise SetDamaged(
            f"it has {len(manifest.pieces):,} pieces, and at most {_PIECES_MAX:,} are read"
        )
    if len(manifest.deltas) > _DELTAS_MAX or len(set(manifest.base)) < len(manifest.base):
        raise SetDamaged("the manifest names pieces twice, or has too many changes")
    if not 0 <= manifest.entries <= _PIECES_MAX * _PIECE[4]:
        raise SetDamaged(f"it says that it has {manifest.entries:,} entries")
    return manifest


def bytes_max(manifest: Manifest) -> int:
    """How many bytes the pieces of a manifest may have together: what its entries take."""
    return (manifest.entries + 1_000) * _ENTRY_BYTES + len(manifest.deltas) * 2 * _DELTA_BYTES


def digest(data: bytes) -> str:
    """The SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def whole(record: bytes, entries: Entries) -> tuple[Manifest, dict[str, bytes]]:
    """A manifest without deltas, and all pieces."""
    pieces = pieces_of(entries)
    manifest = Manifest(
        msgspec.Raw(record), tuple(pieces), (), count(entries), digest(encode_entries(entries))
    )
    return manifest, pieces


def changed(
    record: bytes, manifest: Manifest | None, before: Entries | None, after: Entries
) -> tuple[Manifest, dict[str, bytes]]:
    """A manifest of `after`, and the pieces to add: the difference to `before`, or all."""
    if manifest is None or before is None or len(manifest.deltas) >= _DELTAS_MAX:
        return whole(record, after)
    added = {family: difference(keys, before[family]) for family, keys in after.items()}
    removed = {family: difference(keys, after[family]) for family, keys in before.items()}
    size = count(added) + count(removed)
    if not size:
        return msgspec.structs.replace(manifest, record=msgspec.Raw(record)), {}
    delta = _pair(encode_entries(added), encode_entries(removed))
    if size > _DELTA_SHARE * count(after) or len(delta) > _DELTA_BYTES:
        return whole(record, after)
    name = digest(delta)
    successor = Manifest(
        record=msgspec.Raw(record),
        base=manifest.base,
        deltas=(*manifest.deltas, name),
        entries=count(after),
        digest=digest(encode_entries(after)),
    )
    return successor, {name: delta}


def assembled(manifest: Manifest, blobs: Blobs) -> Entries:
    """The entries of a manifest; SetDamaged if pieces are missing or do not match it."""
    for name in manifest.pieces:
        if digest(blobs.get(name, b"")) != name:
            raise SetDamaged(f"its piece {name[:12]} is missing or damaged")
    try:
        entries = _joined([decode_entries(blobs[name]) for name in manifest.base])
        for name in manifest.deltas:
            added, removed = _unpaired(blobs[name])
            entries = _after(entries, added, removed)
    except (ValueError, IndexError) as error:
        raise SetDamaged(f"a piece cannot be read: {error}") from None
    if count(entries) != manifest.entries or digest(encode_entries(entries)) != manifest.digest:
        raise SetDamaged("its pieces do not match its manifest")
    return entries


def advanced(
    manifest: Manifest, earlier: Manifest, before: Entries, blobs: Blobs
) -> Entries | None:
    """The entries, from those of an `earlier` manifest and the deltas since.

    None if the manifest does not continue the earlier one, or a delta is missing or damaged.
    """
    applied = len(earlier.deltas)
    if manifest.base != earlier.base or manifest.deltas[:applied] != earlier.deltas:
        return None
    entries = before
    for name in manifest.deltas[applied:]:
        if digest(blobs.get(name, b"")) != name:
            return None
        try:
            entries = _after(entries, *_unpaired(blobs[name]))
        except (ValueError, IndexError):
            return None
    return entries if digest(encode_entries(entries)) == manifest.digest else None


def pieces_of(entries: Entries) -> dict[str, bytes]:
    """The pieces of some entries, by their hashes: what a node that has them need not read."""
    return {digest(data): data for data in map(encode_entries, _pieces(entries))}


def _pieces(entries: Entries) -> Iterator[Entries]:
    """Where a piece ends depends on the keys there, so that most pieces outlive a change."""
    for family, size in _PIECE.items():
        keys = entries.get(family, FAMILIES[family].empty)
        marks = np.flatnonzero(_mixed(family, keys) % np.uint64(size) == 0)
        first = 0
        while first < len(keys):
            after = marks[np.searchsorted(marks, first + size // 4) :][:1]
            end = min(int(after[0]) if len(after) else len(keys), first + 4 * size)
            yield {**NOTHING, family: keys[first:end]}
            first = end


def _mixed(family: int, keys: Keys) -> NDArray[np.uint64]:
    """A hash of each key, by multiplication (Knuth, volume 3, section 6.4)."""
    parts = [keys] if family == 4 else [raw6(keys)[:, at : at + 8] for at in (0, 8)]
    mixed = np.zeros(len(keys), np.uint64)
    for part in parts:
        words = part if family == 4 else np.ascontiguousarray(part).view(">u8")[:, 0]
        mixed = (mixed ^ words.astype(np.uint64)) * _ODD
    return mixed >> np.uint64(24)


def _joined(pieces: Sequence[Entries]) -> Entries:
    return {
        family: np.concatenate([NOTHING[family], *(piece[family] for piece in pieces)])
        for family in NOTHING
    }


def _after(entries: Entries, added: Entries, removed: Entries) -> Entries:
    return {
        family: _merged(difference(entries[family], removed[family]), added[family])
        for family in NOTHING
    }


def _merged(keys: Keys, more: Keys) -> Keys:
    """Two sorted arrays, sorted."""
    new = difference(more, keys)
    return np.insert(keys, np.searchsorted(keys, new), new) if len(new) else keys


def _pair(added: bytes, removed: bytes) -> bytes:
    return np.array([len(added)], _SIZE).tobytes() + added + removed


def _unpaired(data: bytes) -> tuple[Entries, Entries]:
    size = int(np.frombuffer(data, _SIZE, 1)[0])
    return decode_entries(data[4 : 4 + size]), decode_entries(data[4 + size :])
