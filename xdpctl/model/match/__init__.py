# SPDX-License-Identifier: GPL-2.0-or-later
"""The match of a rule, in FlowSpec's components (RFC 8955, RFC 8956): parsing, order, overlap.

Pure. Imports base.
"""
