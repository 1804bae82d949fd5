# SPDX-License-Identifier: GPL-2.0-or-later
"""The records of the audit log, as a hash chain. Pure; the store keeps the bytes.

Each record has the hash of the one before, so a changed, removed or inserted record is detected.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

START = "0" * 64
CHECKPOINT = "audit/checkpoint"  # the store's key
Sign = Callable[[bytes], dict[str, str]]
_JSON = json.JSONEncoder(sort_keys=True)


@dataclass(frozen=True, slots=True)
class Event:
    """Who did what to which subject; `detail` is JSON."""

    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


def _digest(record: dict[str, Any]) -> str:
    body = {key: value for key, value in record.items() if key != "hash"}
    return hashlib.sha256(_encode(body)).hexdigest()


def _encode(record: dict[str, Any]) -> bytes:
    return _JSON.encode(record).encode()


class Chain:
    """Turns events into records; remembers the last one's number and hash."""

    def __init__(self, last: bytes | None) -> None:
        record: dict[str, Any] = json.loads(last) if last else {"sequence": 0, "hash": START}
        self.sequence: int = record["sequence"]
        self.hash: str = record["hash"]

    def append(self, events: Iterable[Event], unix: float) -> list[bytes]:
        """The records of these events; call `commit` with them once they are durable."""
        sequence, previous, records = self.sequence, self.hash, []
        at = datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds")
        for event in events:
            sequence += 1
            record = {
                "sequence": sequence,
                "at": at,
                "actor": event.actor,
                "action": event.action,
                "subject": event.subject,
                "detail": event.detail,
                "previous": previous,
            }
            record["hash"] = previous = hashlib.sha256(_encode(record)).hexdigest()
            records.append(_encode(record))
        return records

    def commit(self, records: list[bytes]) -> None:
        """Note that these records are stored; the next one is chained to the last of them."""
        if records:
            last = json.loads(records[-1])
            self.sequence, self.hash = last["sequence"], last["hash"]


def checkpoint(last: bytes, records: int, unix: float, sign: Sign) -> bytes:
    """A signed statement that replaces `records` dropped records, up to and including `last`.

    It has the number and hash of `last`. It proves that this host dropped the records, and that the
    record that follows now is the one that followed then.
    """
    return _signed(last, unix, sign, {"kind": "checkpoint", "records": records})


def head(last: bytes, unix: float, sign: Sign) -> bytes:
    """A signed statement of the number and hash of the newest record, kept apart from the log.

    It proves that the log up to that record is unchanged, so that neither a log cut at its end nor
    one rewritten as a whole passes for the original.
    """
    return _signed(last, unix, sign, {"kind": "head"})


def _signed(last: bytes, unix: float, sign: Sign, more: dict[str, str | int]) -> bytes:
    record = json.loads(last)
    statement = {
        "sequence": record["sequence"],
        "hash": record["hash"],
        "at": datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds"),
        **more,
    }
    return _encode(statement | sign(_encode(statement)))


def signed_part(raw: bytes, kind: str) -> tuple[dict[str, Any], bytes]:
    """Parse a `checkpoint` or `head`; return it with the bytes that were signed.

    ValueError if it is neither. The kind is signed too: otherwise a head could be used as a
    checkpoint, which would hide the records before it.
    """
    try:
        signed = json.loads(raw)
        sound = isinstance(signed["sequence"], int) and isinstance(signed["hash"], str)
        if signed["kind"] != kind or not sound:
            raise ValueError("it is of another kind, or has no number and hash")
        statement = {k: v for k, v in signed.items() if k not in ("signature", "signer")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"this is not a signed {kind}: {error}") from error
    return signed, _encode(statement)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many records were read, and what is wrong with the first bad one; None if none is."""

    records: int
    problem: str | None
    last_hash: str


def verify(
    records: Iterable[bytes],
    since: bytes | None = None,
    known: Mapping[int, str] = MappingProxyType({}),
) -> Verdict:
    """Check the chain from its start, or from the checkpoint `since`.

    `known` has the hashes from signed heads by record number; those records must have these hashes.
    """
    chain = Chain(since)
    first = chain.sequence
    for count, raw in enumerate(records):
        try:
            record = json.loads(raw)
            number, previous, claimed = record["sequence"], record["previous"], record["hash"]
            if not isinstance(number, int) or abs(number) >= 1 << 63:
                raise ValueError("not a record number")
        except (ValueError, KeyError, TypeError, RecursionError):
            return Verdict(count, f"the record after {chain.sequence} is unreadable", chain.hash)
        if number != chain.sequence + 1:
            problem = f"record {chain.sequence + 1} is missing: {number} follows"
            return Verdict(count, problem, chain.hash)
        if previous != chain.hash or claimed != _digest(record):
            return Verdict(count, f"record {number} was changed after it was written", chain.hash)
        if known.get(number, claimed) != claimed:
            problem = f"record {number} is not the one that was signed: the log was rewritten"
            return Verdict(count, problem, chain.hash)
        chain.commit([raw])
    newest, last = max(known, default=0), chain.sequence
    if newest > last:
        problem = f"the log ends at record {last}, but record {newest} was signed"
        return Verdict(last - first, problem, chain.hash)
    return Verdict(last - first, None, chain.hash)
