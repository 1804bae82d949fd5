# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared by tests: a fake kernel, a running application, generators of addresses and packets."""
