# SPDX-License-Identifier: GPL-2.0-or-later
"""BGP with peers, by ExaBGP, in processes of a user of their own.

The speaker (ExaBGP) starts the bridge. The bridge reads the JSON of ExaBGP, takes the orders of the
control plane at a Unix socket, and withdraws routes when their time is over.
"""
