# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration: its settings, and the file that they are read from.

Imports the packages whose settings it contains.
"""
