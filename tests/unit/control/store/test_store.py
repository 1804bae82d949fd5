# SPDX-License-Identifier: GPL-2.0-or-later
"""The store applies all of a change or nothing, and watchers get the changes that they missed."""

import gc
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from xdpctl.control.store.port import ChangeStep, Cursor, KeyChange, Reset, Synced
from xdpctl.control.store.sqlite import SqliteStore
from xdpctl.errors import StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rules.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


def snapshot(store: SqliteStore) -> dict[str, bytes | None]:
    return {e.key: e.value for e in store.watch() if isinstance(e, KeyChange)}


def cursor(store: SqliteStore) -> Cursor:
    *_, last = store.watch()
    assert isinstance(last, Synced)
    return last.cursor


def test_written_data_is_there_after_a_restart(store: SqliteStore, path: Path) -> None:
    store.write({"a": b"1", "b": b"2"}, [b"first"])
    store.write({"a": b"3"}, [b"second"])
    store.close()
    again = SqliteStore(path)
    assert snapshot(again) == {"a": b"3", "b": b"2"}
    assert again.audit() == [b"first", b"second"]
    assert again.last_audit() == b"second"
    again.close()


def test_a_watcher_of_an_empty_store_is_up_to_date_at_once(store: SqliteStore) -> None:
    first, last = store.watch()
    assert isinstance(first, Reset)
    assert isinstance(last, Synced)
    assert last.cursor.revision == 0
    assert store.last_audit() is None


def test_revisions_only_grow(store: SqliteStore) -> None:
    revisions = [store.write(changes) for changes in ({"a": b"1"}, {"a": b"1"}, {"a": None})]
    assert revisions == sorted(set(revisions))
    assert cursor(store).revision == revisions[-1]


def test_a_watcher_resumes_with_the_later_changes(store: SqliteStore) -> None:
    store.write({"a": b"1", "b": b"1"})
    seen = cursor(store)
    assert list(store.watch(seen)) == [Synced(seen)]
    store.write({"b": b"2"})
    store.write({"c": b"3"})
    store.write({"b": b"4"})
    *changes, last = store.watch(seen)
    assert [(e.key, e.value) for e in changes if isinstance(e, KeyChange)] == [
        ("c", b"3"),
        ("b", b"4"),
    ]
    assert last == Synced(cursor(store))
    assert list(store.watch(cursor(store))) == [last]


def test_a_watcher_that_resumes_learns_of_deletions_and_a_new_one_does_not(
    store: SqliteStore,
) -> None:
    store.write({"a": b"1"})
    seen = cursor(store)
    store.write({"a": None})
    gone, _ = store.watch(seen)
    assert isinstance(gone, KeyChange)
    assert (gone.key, gone.value) == ("a", None)
    assert snapshot(store) == {}


@pytest.mark.parametrize("foreign", [Cursor("another", 1), Cursor("another", 99)])
def test_a_cursor_of_another_history_starts_again(store: SqliteStore, foreign: Cursor) -> None:
    store.write({"a": b"1"})
    assert list(store.watch(foreign)) == list(store.watch())


def test_a_cursor_older_than_the_tombstones_starts_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdpctl.control.store.sqlite._TOMBSTONES_KEPT", 2)
    store.write({"kept": b"1"})
    old = cursor(store)
    for number in range(6):
        store.write({f"gone{number}": None})
    recent = cursor(store)
    assert isinstance(next(store.watch(old)), Reset)
    assert snapshot(store) == {"kept": b"1"}
    assert list(store.watch(recent)) == [Synced(recent)]
    (kept,) = store._db.execute("SELECT count(*) FROM entries WHERE value IS NULL").fetchone()
    assert kept < 6


class Broken(Mapping[str, bytes]):
    """Changes that cannot all be written."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[str]:
        return iter(("a", "b"))

    def __getitem__(self, key: str) -> bytes:
        return b"1" if key == "a" else {}  # type: ignore[return-value]


def test_the_newest_change_is_the_last_to_be_dropped(store: SqliteStore) -> None:
    for number in (1, 2, 3, 1):
        store.write({}, (), [ChangeStep(number, b"{}", bytes(10))])
    assert store.trim_changes(1, 1 << 20) == 2
    assert store.parts(1) == [bytes(10)] * 2
    assert store.trim_changes(1, 5) == 0, "the newest stays, however large"


@pytest.mark.parametrize(
    ("changes", "audit"), [(Broken(), ()), ({"a": b"1"}, [b"fine", {"no": "bytes"}])]
)
def test_a_write_that_fails_half_way_leaves_nothing(
    store: SqliteStore, changes: Mapping[str, bytes], audit: Sequence[bytes]
) -> None:
    before = cursor(store)
    with pytest.raises(StoreError, match="Nothing of this change was made"):
        store.write(changes, audit)
    assert snapshot(store) == {}
    assert store.audit() == []
    assert cursor(store) == before
    assert store.write({"a": b"1"}) > before.revision


def test_a_full_disk_refuses_and_leaves_the_rest_readable(store: SqliteStore) -> None:
    store.write({"a": b"1"})
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        store.write({"b": bytes(1 << 20)}, [b"record"])
    assert snapshot(store) == {"a": b"1"}
    assert store.audit() == []
    store._db.execute("PRAGMA max_page_count = 100000")
    store.write({"b": bytes(1 << 20)})
    assert snapshot(store).keys() == {"a", "b"}


def test_a_locked_file_refuses_and_nothing_is_changed(store: SqliteStore, path: Path) -> None:
    store.write({"a": b"1"})
    store._db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.write({"a": b"2"})
    assert snapshot(store) == {"a": b"1"}
    other.execute("ROLLBACK")
    other.close()
    store.write({"a": b"2"})
    assert snapshot(store) == {"a": b"2"}


def refusal(path: Path) -> str:
    """Why the store does not open; a connection left open would be a warning, and so an error."""
    message = ""
    try:
        SqliteStore(path)
    except StoreError as error:
        message = str(error)
    gc.collect()
    return message


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"this was a database once" * 100)
    assert "not a database" in refusal(path)


def test_a_damaged_file_is_refused_when_it_is_read(store: SqliteStore, path: Path) -> None:
    store.write({f"key{number}": bytes(500) for number in range(500)})
    store.close()
    page, whole = 4096, path.read_bytes()
    path.write_bytes(whole[:page] + b"\xff" * (len(whole) - page))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(StoreError, match="malformed"):
            list(SqliteStore(path).watch())
        gc.collect()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "unable to open" in refusal(tmp_path / "no" / "rules.sqlite")


def test_a_newer_schema_is_refused_and_left_alone(store: SqliteStore, path: Path) -> None:
    store.write({"a": b"1"})
    store._db.execute("PRAGMA user_version = 99")
    assert "newer xdpctl (schema 99)" in refusal(path)
    assert snapshot(store) == {"a": b"1"}


def test_a_write_is_durable_when_it_returns(store: SqliteStore) -> None:
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_the_audit_is_read_in_pages(store: SqliteStore) -> None:
    store.write({}, [b"%d" % number for number in range(1, 24)])
    assert store.audit(after=20) == [b"21", b"22", b"23"]
    assert store.audit(after=5, limit=2) == [b"6", b"7"]
    assert store.audit(after=23) == []


def test_a_read_only_file_refuses_even_an_empty_write(store: SqliteStore) -> None:
    store.write({"a": b"1"})
    store._db.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match="readonly"):
        store.write({})
    assert snapshot(store) == {"a": b"1"}
