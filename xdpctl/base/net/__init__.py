# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses, prefixes and packets: parsing, arrays of prefixes, capture files.

Imports only base.
"""
