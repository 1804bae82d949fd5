# SPDX-License-Identifier: GPL-2.0-or-later
"""A fleet: several hosts managed as one. An engine (etcd) stores what people asked for, and an
agent on each node applies it.

Without `[fleet]` in the configuration, nothing here is imported except `settings`.
"""
