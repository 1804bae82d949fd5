# SPDX-License-Identifier: GPL-2.0-or-later
"""What is watched while a host filters: whether it is ready, whom it hits, links, flows, backstops.

Imports config and the layers below it.
"""
