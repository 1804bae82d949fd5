# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands (`state`), what is about to change (`draft`), and which entries cover an address."""
