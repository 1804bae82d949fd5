# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector of xdpctl itself: from heads of packets to events with evidence.

Everything here is pure: `engine.py` gets packets and times, and returns reports. The process that
feeds it is in xdpctl/processes/detector/.
"""
