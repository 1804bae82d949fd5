# SPDX-License-Identifier: GPL-2.0-or-later
"""Watches a host while it filters: its readiness, whom it hits, links, flows, backstops.

Imports config and the layers below it.
"""
