-- SPDX-License-Identifier: GPL-2.0-or-later
-- What people changed, so that it can be undone. A change that was made in several steps, as a
-- long import is, has several rows. `summary` is JSON; `parts` has the records before and after.
CREATE TABLE changes (
    step INTEGER PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL,
    summary BLOB NOT NULL,
    parts BLOB NOT NULL
);
CREATE INDEX changes_by_number ON changes (number);
