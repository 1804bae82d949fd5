# SPDX-License-Identifier: GPL-2.0-or-later
"""BGP with peers, by ExaBGP in processes of a user of their own.

The speaker starts the bridge, which always reads, ends what has lasted its time, and does what the
control plane says at a Unix socket. What peers send is in ExaBGP's JSON.
"""
