# SPDX-License-Identifier: GPL-2.0-or-later
"""The operations of the controller, on rules, sets and imports.

Each operation reads and changes a draft; none has any other effect.
"""
