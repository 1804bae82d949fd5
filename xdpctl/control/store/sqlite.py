# SPDX-License-Identifier: GPL-2.0-or-later
"""The store in one SQLite file."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from threading import Lock
from typing import Any
from zlib import crc32

from xdpctl.control.store.port import ChangeStep, Cursor, KeyChange, Reset, Synced
from xdpctl.errors import StoreError

_TOMBSTONES_KEPT = 100_000


def _migrations() -> list[Traversable]:
    folder = files("xdpctl.control.store") / "migrations"
    return sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=str)


def schema_version() -> int:
    """The schema of the stores that this version writes."""
    return len(_migrations())


def _crc(key: str, value: bytes | None) -> int:
    return crc32(value or b"", crc32(key.encode()))


class SqliteStore:
    """A store in one SQLite file, in WAL mode with synchronous=FULL; usable from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self.failures = 0
        self._written = 0  # keys written since tombstones were last pruned
        try:
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=2
            )
        except sqlite3.Error as error:
            raise self._explained(error) from error
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            # with the default, an import would checkpoint after nearly every chunk
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
        scripts = _migrations()
        if version > len(scripts):
            raise StoreError(
                f"{self.path} was written by a newer xdpctl (schema {version}); this version "
                f"supports up to {len(scripts)}. Install the newer version again."
            )
        for number, script in enumerate(scripts[version:], version + 1):
            statements = script.read_text()
            self._db.executescript(f"BEGIN;{statements}\nPRAGMA user_version = {number};COMMIT;")

    def _explained(self, error: sqlite3.Error) -> StoreError:
        self.failures += 1
        return StoreError(
            f"the store {self.path} failed: {error}. Nothing of this change was made; the rules "
            "in the kernel stay in force."
        )

    def write(
        self,
        changes: Mapping[str, bytes | None],
        audit: Sequence[bytes] = (),
        steps: Sequence[ChangeStep] = (),
    ) -> int:
        with self._lock:
            try:
                return self._write(changes, audit, steps)
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise self._explained(error) from error

    def _write(
        self,
        changes: Mapping[str, bytes | None],
        audit: Sequence[bytes],
        steps: Sequence[ChangeStep],
    ) -> int:
        self._db.execute("BEGIN IMMEDIATE")
        self._put(changes)
        self._db.executemany("INSERT INTO audit (record) VALUES (?)", ((row,) for row in audit))
        insert = "INSERT INTO changes (number, summary, parts) VALUES (?, ?, ?)"
        self._db.executemany(insert, steps)
        self._written += len(changes)
        if self._written >= _TOMBSTONES_KEPT:
            self._written = 0
            self._forget_tombstones()
        revision = self._revision()
        self._db.execute("COMMIT")
        return revision

    def _put(self, changes: Mapping[str, bytes | None]) -> None:
        insert = "INSERT OR REPLACE INTO entries (key, value, crc) VALUES (?, ?, ?)"
        rows = ((key, value, _crc(key, value)) for key, value in changes.items())
        self._db.executemany(insert, rows)

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

    def watch(self, since: Cursor | None = None) -> Iterator[KeyChange | Reset | Synced]:
        with self._lock:
            try:
                epoch, floor = self._db.execute("SELECT epoch, floor FROM history").fetchone()
                known = since is not None and since.epoch == epoch and since.revision >= floor
                query = "SELECT key, value, revision, crc FROM entries WHERE revision > ?"
                if not known:
                    query += " AND value IS NOT NULL"
                start = since.revision if since is not None and known else 0
                rows = self._db.execute(query + " ORDER BY revision", (start,)).fetchall()
                revision = self._revision()
            except sqlite3.Error as error:
                raise self._explained(error) from error
        if not known:
            yield Reset()
        for key, value, number, crc in rows:
            whole = isinstance(value, bytes | None) and crc in (None, _crc(key, value))
            yield KeyChange(key, value if whole else b"", number, not whole)
        yield Synced(Cursor(epoch, revision))

    def audit(self, after: int = 0, limit: int = 1000) -> list[bytes]:
        query = "SELECT record FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?"
        return [row for (row,) in self._read(query, (after, limit))]

    def last_audit(self) -> bytes | None:
        rows = self._read("SELECT record FROM audit ORDER BY sequence DESC LIMIT 1", ())
        return rows[0][0] if rows else None

    def last_change(self) -> int:
        ((number,),) = self._read("SELECT COALESCE(MAX(number), 0) FROM changes", ())
        return int(number)

    def summaries(self, before: int, limit: int) -> list[tuple[int, bytes]]:
        query = (
            "SELECT number, summary FROM changes WHERE number IN (SELECT DISTINCT number "
            "FROM changes WHERE number < ? ORDER BY number DESC LIMIT ?) "
            "ORDER BY number DESC, step"
        )
        return [(int(number), summary) for number, summary in self._read(query, (before, limit))]

    def parts(self, number: int) -> list[bytes]:
        query = "SELECT parts FROM changes WHERE number = ? ORDER BY step"
        return [parts for (parts,) in self._read(query, (number,))]

    def forget_last_steps(self, count: int) -> None:
        newest = "SELECT step FROM changes ORDER BY step DESC LIMIT ?"
        self._delete(f"DELETE FROM changes WHERE step IN ({newest})", [(count,)])  # noqa: S608

    def _delete(self, statement: str, rows: Sequence[tuple[int]]) -> None:
        with self._lock:
            try:
                self._db.executemany(statement, rows)
            except sqlite3.Error as error:
                raise self._explained(error) from error

    def trim_changes(self, most: int, most_bytes: int) -> int:
        query = (
            # a long import stays whole while it adds steps, whatever came meanwhile
            "SELECT number, SUM(LENGTH(parts)) FROM changes GROUP BY number ORDER BY MAX(step) DESC"
        )
        kept_bytes, gone = 0, []
        for place, (number, size) in enumerate(self._read(query, ())):
            kept_bytes += size
            if place and (place >= most or kept_bytes > most_bytes):  # the newest always stays
                gone.append(int(number))
        self._delete("DELETE FROM changes WHERE number = ?", [(number,) for number in gone])
        return len(gone)

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
                self._put(changes)
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
