# SPDX-License-Identifier: GPL-2.0-or-later
"""Where rules and tokens outlive a reboot: two verbs, SQLite behind them.

`write` is durable when it returns; `watch` is a snapshot followed by what came after, resumed
from a cursor. The controller is fed by `watch` alone, so recovery after a crash and, later,
distribution to many nodes are the same code.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Protocol

from xdpctl.errors import StoreError

_TOMBSTONES_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a watcher has come; `epoch` names the history that `revision` counts in."""

    epoch: str
    revision: int


class Change(NamedTuple):
    """A key has this value now; None: it is gone."""

    key: str
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The watcher's history is gone: what follows, up to Synced, is the whole truth."""


@dataclass(frozen=True, slots=True)
class Synced:
    """The watcher holds everything up to here."""

    cursor: Cursor


class Store(Protocol):
    """Every method raises StoreError, and then nothing was changed."""

    def write(self, changes: Mapping[str, bytes | None], audit: Sequence[bytes] = ()) -> int:
        """All of it, durably, or nothing; the new revision."""
        ...

    def watch(self, since: Cursor | None = None) -> Iterator[Change | Reset | Synced]:
        """What came after `since`, ending in Synced; starts with Reset if that is not known."""
        ...

    def audit(self, after: int = 0, limit: int = 1000) -> list[bytes]:
        """Audit records with a sequence number above `after`, in order."""
        ...

    def last_audit(self) -> bytes | None:
        """The newest audit record."""
        ...

    def pristine(self) -> bool:
        """Whether no record was ever written: neither one that stands nor one that went."""
        ...

    def audit_size(self) -> tuple[int, int]:
        """How many audit records there are, and their bytes."""
        ...

    def forget_audit(self, upto: int, changes: Mapping[str, bytes | None]) -> None:
        """Drop audit records up to that sequence number, and write `changes`, both or neither."""
        ...


class SqliteStore:
    """One file in WAL mode with synchronous=FULL; a lock makes it usable from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._written = 0  # keys, since tombstones were last looked at
        try:
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=2
            )
        except sqlite3.Error as error:
            raise self._explained(error) from error
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            # an import would otherwise pay for a checkpoint with nearly every chunk
            self._db.execute("PRAGMA wal_autocheckpoint = 8000")
            self._migrate()
        except sqlite3.Error as error:
            self._db.close()
            raise self._explained(error) from error
        except StoreError:
            self._db.close()
            raise

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        folder = files("xdpctl.control.store") / "migrations"
        scripts = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=str)
        if version > len(scripts):
            raise StoreError(
                f"{self.path} was written by a newer xdpctl (schema {version}); "
                f"this one knows up to {len(scripts)}. Install the newer version again."
            )
        for number, script in enumerate(scripts[version:], version + 1):
            statements = script.read_text()
            self._db.executescript(f"BEGIN;{statements}\nPRAGMA user_version = {number};COMMIT;")

    def _explained(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"the store {self.path} refuses: {error}. What is in the kernel goes on filtering; "
            "nothing of this change was made."
        )

    def write(self, changes: Mapping[str, bytes | None], audit: Sequence[bytes] = ()) -> int:
        with self._lock:
            try:
                return self._write(changes, audit)
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise self._explained(error) from error

    def _write(self, changes: Mapping[str, bytes | None], audit: Sequence[bytes]) -> int:
        self._db.execute("BEGIN IMMEDIATE")
        insert = "INSERT OR REPLACE INTO entries (key, value) VALUES (?, ?)"
        self._db.executemany(insert, changes.items())
        self._db.executemany("INSERT INTO audit (record) VALUES (?)", ((row,) for row in audit))
        self._written += len(changes)
        if self._written >= _TOMBSTONES_KEPT:
            self._written = 0
            self._forget_tombstones()
        revision = self._revision()
        self._db.execute("COMMIT")
        return revision

    def _revision(self) -> int:
        query = "SELECT seq FROM sqlite_sequence WHERE name = 'entries'"
        row = self._db.execute(query).fetchone()
        return int(row[0]) if row else 0

    def _forget_tombstones(self) -> None:
        old = (
            "SELECT revision FROM entries WHERE value IS NULL "
            "ORDER BY revision DESC LIMIT 1 OFFSET ?"
        )
        row = self._db.execute(old, (_TOMBSTONES_KEPT,)).fetchone()
        if row:
            self._db.execute("DELETE FROM entries WHERE value IS NULL AND revision <= ?", row)
            self._db.execute("UPDATE history SET floor = ?", row)

    def watch(self, since: Cursor | None = None) -> Iterator[Change | Reset | Synced]:
        with self._lock:
            try:
                epoch, floor = self._db.execute("SELECT epoch, floor FROM history").fetchone()
                known = since is not None and since.epoch == epoch and since.revision >= floor
                query = "SELECT key, value, revision FROM entries WHERE revision > ?"
                if not known:
                    query += " AND value IS NOT NULL"
                start = since.revision if since is not None and known else 0
                rows = self._db.execute(query + " ORDER BY revision", (start,)).fetchall()
                revision = self._revision()
            except sqlite3.Error as error:
                raise self._explained(error) from error
        if not known:
            yield Reset()
        yield from map(Change._make, rows)
        yield Synced(Cursor(epoch, revision))

    def audit(self, after: int = 0, limit: int = 1000) -> list[bytes]:
        query = "SELECT record FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?"
        return [row for (row,) in self._read(query, (after, limit))]

    def last_audit(self) -> bytes | None:
        rows = self._read("SELECT record FROM audit ORDER BY sequence DESC LIMIT 1", ())
        return rows[0][0] if rows else None

    def pristine(self) -> bool:
        return not self._read("SELECT 1 FROM entries LIMIT 1", ())

    def audit_size(self) -> tuple[int, int]:
        query = "SELECT COUNT(*), COALESCE(SUM(LENGTH(record)), 0) FROM audit"
        ((records, size),) = self._read(query, ())
        return int(records), int(size)

    def forget_audit(self, upto: int, changes: Mapping[str, bytes | None]) -> None:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                insert = "INSERT OR REPLACE INTO entries (key, value) VALUES (?, ?)"
                self._db.executemany(insert, changes.items())
                self._db.execute("DELETE FROM audit WHERE sequence <= ?", (upto,))
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise self._explained(error) from error

    def _read(self, query: str, values: tuple[int, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._explained(error) from error

    def close(self) -> None:
        with self._lock:
            self._db.close()
