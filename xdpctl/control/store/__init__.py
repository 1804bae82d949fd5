# SPDX-License-Identifier: GPL-2.0-or-later
"""The durable store: records of every kind, and the audit log.

`kinds` defines each kind of record.
"""
