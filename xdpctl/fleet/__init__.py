# SPDX-License-Identifier: GPL-2.0-or-later
"""Several boxes as one: an engine (etcd) has what people asked for, and an agent on each node takes
it over.

Nothing here is imported where there is no `[fleet]` in the configuration, except `settings`.
"""
