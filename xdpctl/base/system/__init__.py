# SPDX-License-Identifier: GPL-2.0-or-later
"""The operating system: file locks, folders that only we can write, child processes, sd_notify.

Imports only base.
"""
