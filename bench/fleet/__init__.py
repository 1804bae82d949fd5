# SPDX-License-Identifier: GPL-2.0-or-later
"""A fleet of many nodes on one machine."""
