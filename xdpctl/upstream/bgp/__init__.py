# SPDX-License-Identifier: GPL-2.0-or-later
"""BGP with peers, by ExaBGP or GoBGP in processes of a user of their own.

The speaker starts the bridge, which always reads, ends what has lasted its time, and does what the
control plane says at a Unix socket. Routes are in the syntax of ExaBGP, in both directions;
GoBGP's are translated.
"""
