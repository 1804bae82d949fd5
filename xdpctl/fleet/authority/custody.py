# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the authority when its host is lost: its record and its encrypted key are in the engine.

Below `xdpctl-authority/` only the engine's administrator reads and writes, so no node does.
"""

import zlib
from pathlib import Path

import msgspec

from xdpctl.errors import ConfigError
from xdpctl.fleet.authority import age
from xdpctl.fleet.authority.certificates import Pair, certificate_of
from xdpctl.fleet.authority.etcd import Etcd
from xdpctl.fleet.authority.layout import Layout
from xdpctl.fleet.authority.record import Record, RecordFile
from xdpctl.fleet.authority.signing import is_signed, signature
from xdpctl.fleet.endpoints import Endpoints
from xdpctl.fleet.settings import FleetSettings

_RECORD, _KEY = "xdpctl-authority/record", "xdpctl-authority/key"
_BYTES_MAX = 8 << 20  # of a record
_records = msgspec.json.Decoder(Record)


class _Signed(msgspec.Struct, frozen=True):
    """A record, and the signature of the authority: whoever steals a member cannot make one."""

    record: bytes
    signature: bytes


def publish(engine: Etcd, record: Record, pair: Pair) -> None:
    """Write the record into the engine, signed, for a host that takes the authority over."""
    data = zlib.compress(msgspec.json.encode(record))
    signed = _Signed(data, signature(pair.key, data))
    engine.put(_RECORD, msgspec.json.encode(signed))


def published(engine: Etcd, ca: bytes) -> Record | None:
    """The record that the engine has; None for none that the authority has signed."""
    try:
        signed = msgspec.json.decode(engine.get(_RECORD), type=_Signed)
        if not is_signed(ca, signed.signature, signed.record):
            return None
        return _records.decode(zlib.decompressobj().decompress(signed.record, _BYTES_MAX))
    except (zlib.error, msgspec.DecodeError):
        return None


def check_current(engine: Etcd, record: Record, ca: bytes) -> None:
    """ConfigError if another host has taken the authority over since."""
    known = published(engine, ca)
    if known is not None and known.term > record.term:
        raise ConfigError(
            f"{known.holder} has the authority now: run this there. The copy of the authority on "
            "this host is older"
        )


def deposit(engine: Etcd, pair: Pair, recipient: str) -> None:
    """Store the authority's key in the engine, encrypted for the operator's key."""
    engine.put(_KEY, age.encrypted(pair.key, recipient))


def adopt(layout: Layout, fleet: FleetSettings, identity: Path) -> None:
    """Take the authority over on this member; `identity` is the operator's key. ConfigError."""
    engine, ca = Etcd(layout, Endpoints(fleet).now), layout.read(layout.authority / "ca.crt")
    record, key = published(engine, ca), engine.get(_KEY)
    if record is None or not key:
        raise ConfigError(
            "the engine does not have the authority's key, or its record was not signed: the key "
            "was not deposited (xdpctl fleet deposit, where the authority was). Restore a backup "
            "instead: xdpctl fleet restore"
        )
    pair = Pair(ca, age.decrypted(key, identity))
    certificate_of(ca, ca, pair.key)
    record.term, record.holder = record.term + 1, fleet.name
    publish(engine, record, pair)  # first, so that the earlier host cannot use its copy any more
    layout.write_pair(layout.authority, "ca", pair, "root")
    RecordFile(layout).write(record)
