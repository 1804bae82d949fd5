# SPDX-License-Identifier: GPL-2.0-or-later
"""A relay: it uses the engine once, for many nodes that only follow.

To its nodes it answers as a member of the engine does, and gives each one the rights of its own
certificate. The engine knows the relay alone, which may write what its nodes may.
"""
