# SPDX-License-Identifier: GPL-2.0-or-later
"""What survives a restart: records of every kind, and the audit log.

`kinds` states each kind of record once.
"""
