# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that speaks BGP: prepared by root, run as a user of its own."""
