# SPDX-License-Identifier: GPL-2.0-or-later
"""Helpers that do not depend on filtering: clocks, durations, periodic tasks, worker threads.

Every package may import this one; it imports only errors.
"""
