# SPDX-License-Identifier: GPL-2.0-or-later
"""Matches of FlowSpec components (RFC 8955, RFC 8956): parsing, order, overlap.

Pure. Imports base.
"""
