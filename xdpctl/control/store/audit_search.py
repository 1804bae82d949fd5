# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding records of the audit log: by time, who did it, what was done, and to what."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from xdpctl.control.store.port import Store

_PAGE = 5000
LARGEST = 2**63 - 1  # the largest integer of SQLite


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a record must have; empty fields are ignored.

    `since` is Unix time. An `action` that ends with a dot takes all that begin with it: `rule.`
    """

    since: float | None = None
    actor: str = ""
    action: str = ""
    subject: str = ""

    def takes(self, record: dict[str, Any]) -> bool:
        """Whether a record meets all conditions, apart from its time."""
        action = str(record.get("action", ""))
        same = action.startswith(self.action) if self.action.endswith(".") else None
        return (
            (not self.actor or record.get("actor") == self.actor)
            and (not self.action or (action == self.action if same is None else same))
            and (not self.subject or _about(record, self.subject))
        )


def _about(record: dict[str, Any], subject: str) -> bool:
    """Whether a record is about a rule or set, or names it among those that expired together."""
    detail = record.get("detail")
    ids = detail.get("ids") if isinstance(detail, dict) else None
    return record.get("subject") == subject or (isinstance(ids, list) and subject in ids)


def newest(store: Store, wanted: Wanted, limit: int, before: int = LARGEST) -> list[dict[str, Any]]:
    """The last records before the number `before` that meet the conditions, oldest first."""
    selected: list[dict[str, Any]] = []
    first = _written(wanted.since) if wanted.since is not None else ""
    older = 0
    for record in _backwards(store, before):
        older = older + 1 if str(record.get("at", "")) < first else 0
        # go on after the first older record: the wall clock may have been set back in between
        if older == _PAGE or len(selected) == limit:
            break
        if not older and wanted.takes(record):
            selected.append(record)
    return selected[::-1]


def oldest(store: Store, wanted: Wanted, limit: int, after: int = 0) -> list[dict[str, Any]]:
    """The first records after the number `after` that meet the conditions, at most `limit`."""
    selected: list[dict[str, Any]] = []
    first = _written(wanted.since) if wanted.since is not None else ""
    while len(selected) < limit and (page := store.audit(after, _PAGE)):
        records = list(map(json.loads, page))
        after = records[-1]["sequence"]
        selected += [
            record
            for record in records
            if str(record.get("at", "")) >= first and wanted.takes(record)
        ]
    return selected[:limit]


def _backwards(store: Store, before: int) -> Iterator[dict[str, Any]]:
    last = store.last_audit()
    end = min(json.loads(last)["sequence"], before - 1) if last else 0
    while end > 0:
        begin = max(0, end - _PAGE)
        records = [json.loads(row) for row in store.audit(begin, end - begin)]
        yield from reversed(records)
        if not records:
            return
        end = min(begin, records[0]["sequence"] - 1)


def _written(unix: float) -> str:
    """A time as records have it, so that both compare as text."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds")
