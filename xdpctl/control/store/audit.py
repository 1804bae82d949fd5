# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log's records: each carries the hash of the one before, so none can be changed,
removed or slipped in unseen. Pure; the store keeps the bytes.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
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
        """Note that these records are stored: the next one is chained to the last of them."""
        if records:
            last = json.loads(records[-1])
            self.sequence, self.hash = last["sequence"], last["hash"]


def checkpoint(last: bytes, records: int, unix: float, sign: Sign) -> bytes:
    """What stands for `records` records up to `last` that are dropped: its number and hash, signed.

    It proves that this box dropped them, and that what follows is what followed then.
    """
    held = json.loads(last)
    about = {
        "sequence": held["sequence"],
        "hash": held["hash"],
        "records": records,
        "at": datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds"),
    }
    return _encode(about | sign(_encode(about)))


def signed_part(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """A checkpoint, and the bytes that were signed; ValueError if it is none."""
    try:
        held = json.loads(raw)
        about = {name: held[name] for name in ("sequence", "hash", "records", "at")}
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no checkpoint: {error!r}") from error
    return held, _encode(about)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many records were read, and what is wrong with the first bad one, if any."""

    records: int
    problem: str | None
    last_hash: str


def verify(records: Iterable[bytes], since: bytes | None = None) -> Verdict:
    """Walk the chain from its start, or from the checkpoint `since`."""
    chain = Chain(since)
    for count, raw in enumerate(records):
        try:
            record = json.loads(raw)
            number, previous, claimed = record["sequence"], record["previous"], record["hash"]
            if not isinstance(number, int) or abs(number) >= 1 << 63:
                raise ValueError("no number")
        except (ValueError, KeyError, TypeError, RecursionError):
            return Verdict(count, f"the record after {chain.sequence} is unreadable", chain.hash)
        if number != chain.sequence + 1:
            problem = f"record {chain.sequence + 1} is missing: {number} follows"
            return Verdict(count, problem, chain.hash)
        if previous != chain.hash or claimed != _digest(record):
            return Verdict(count, f"record {number} was changed after it was written", chain.hash)
        chain.commit([raw])
    return Verdict(chain.sequence, None, chain.hash)
