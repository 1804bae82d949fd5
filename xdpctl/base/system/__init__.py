# SPDX-License-Identifier: GPL-2.0-or-later
"""The operating system: file locks, folders that others cannot write, child processes, sd_notify.

Imports only base.
"""
