# SPDX-License-Identifier: GPL-2.0-or-later
"""A test for each attack that once worked; docs/explanation/boundaries.md lists them."""
