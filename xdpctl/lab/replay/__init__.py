# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures run through the real filter without a network: what rules would have done."""
