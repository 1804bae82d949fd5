-- SPDX-License-Identifier: GPL-2.0-or-later
-- Keys and values. Replacing a row gives it the next revision, so that a watcher reads on from
-- where it was; a value of NULL is a tombstone, which tells it of a deletion.
CREATE TABLE entries (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    value BLOB
);

-- One row: the epoch changes when the history does, and one may resume from the floor on.
CREATE TABLE history (
    epoch TEXT NOT NULL,
    floor INTEGER NOT NULL
);
INSERT INTO history VALUES (lower(hex(randomblob(16))), 0);

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    record BLOB NOT NULL
);
