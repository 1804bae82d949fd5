# SPDX-License-Identifier: GPL-2.0-or-later
"""Replay of captures through the real filter without a network: what rules would have done."""
