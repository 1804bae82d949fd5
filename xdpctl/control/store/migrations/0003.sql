-- SPDX-License-Identifier: GPL-2.0-or-later
-- The CRC-32 of key and value, so that a row that the disk has changed is not used. NULL: the row is
-- of an earlier version.
ALTER TABLE entries ADD COLUMN crc INTEGER;
