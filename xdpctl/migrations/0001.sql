-- Keys and values; a value of NULL is a tombstone, so that a watcher learns of deletions.
CREATE TABLE entries (
    key TEXT PRIMARY KEY,
    value BLOB,
    revision INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX entries_by_revision ON entries (revision);

-- One row: the epoch changes when the history does, the floor is the oldest revision one may resume from.
CREATE TABLE history (
    epoch TEXT NOT NULL,
    revision INTEGER NOT NULL,
    floor INTEGER NOT NULL
);
INSERT INTO history VALUES (lower(hex(randomblob(16))), 0, 0);

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    record BLOB NOT NULL
);
