# SPDX-License-Identifier: GPL-2.0-or-later
"""A test for each attack that once succeeded; docs/explanation/boundaries.md lists the attacks."""
