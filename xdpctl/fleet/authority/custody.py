# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the authority when its host is lost: its record and its encrypted key are in the engine.

Below `xdpctl-authority/` only the engine's administrator reads and writes, so no node does. The key
is encrypted with age (age-encryption.org) for a key of the operator, which is on no host.
"""

import re
import zlib
from pathlib import Path

import msgspec

from xdpctl.errors import ConfigError, EngineError
from xdpctl.fleet.authority.certificates import Pair, certificate_of
from xdpctl.fleet.authority.etcd import Etcd
from xdpctl.fleet.authority.layout import Layout
from xdpctl.fleet.authority.record import Record, RecordFile
from xdpctl.fleet.authority.signing import is_signed, signature
from xdpctl.fleet.authority.tools import piped, tool
from xdpctl.fleet.endpoints import Endpoints
from xdpctl.fleet.settings import FleetSettings

_RECORD, _KEY = "xdpctl-authority/record", "xdpctl-authority/key"
_RECIPIENT = re.compile(r"age1[0-9a-z]{20,200}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]{40,1000}( \S+)?")
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


def check_recipient(recipient: str) -> str:
    """A public key of age or SSH; ConfigError if it is none."""
    if not _RECIPIENT.fullmatch(recipient.strip()):
        raise ConfigError(
            f"{recipient[:6]!r}... is no public key of age or SSH: make one on your own "
            "computer, age-keygen -o fleet.key, and give the line that begins with age1"
        )
    return recipient.strip()


def encrypted(data: bytes, recipient: str) -> bytes:
    """Encrypt some bytes for a public key, as text. EngineError if age refuses it."""
    return piped(tool("age"), "--encrypt", "--armor", "--recipient", recipient, data=data)


def decrypted(data: bytes, identity: Path) -> bytes:
    """Decrypt with the operator's key; ConfigError if it does not open the data."""
    if not identity.is_file():
        raise ConfigError(f"{identity} is no file: give the one that age-keygen has written")
    try:
        return piped(tool("age"), "--decrypt", "--identity", str(identity), data=data)
    except EngineError as error:
        raise ConfigError(f"{identity} does not open it: {error}") from error


def deposit(engine: Etcd, pair: Pair, recipient: str) -> None:
    """Store the authority's key in the engine, encrypted for the operator's key."""
    engine.put(_KEY, encrypted(pair.key, recipient))


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
    pair = Pair(ca, decrypted(key, identity))
    certificate_of(ca, ca, pair.key)
    record.term, record.holder = record.term + 1, fleet.name
    publish(engine, record, pair)  # first, so that the earlier host cannot use its copy any more
    layout.write_pair(layout.authority, "ca", pair, "root")
    RecordFile(layout).write(record)
