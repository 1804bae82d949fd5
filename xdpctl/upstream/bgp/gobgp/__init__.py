# SPDX-License-Identifier: GPL-2.0-or-later
"""GoBGP 3 as the program that speaks BGP: its configuration, its API, and its process."""
