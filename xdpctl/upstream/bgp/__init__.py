# SPDX-License-Identifier: GPL-2.0-or-later
"""BGP with peers, by ExaBGP in a process of its own.

ExaBGP runs as a user of its own and starts the bridge, which always reads, ends what has lasted its
time, and does what the control plane says at a Unix socket.
"""
