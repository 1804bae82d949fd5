# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab of network namespaces (protected server, clients, attacker), the demo, and replay.

Imports service and the layers below it.
"""
