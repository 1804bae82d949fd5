# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab of network namespaces: a protected server, its clients, an attacker; demo and replay.

Imports service and what is below.
"""
