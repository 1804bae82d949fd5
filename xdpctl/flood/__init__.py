# SPDX-License-Identifier: GPL-2.0-or-later
"""The embedded detector: it turns heads of packets into events with evidence.

Everything here is pure: `engine.py` gets packets and times, and returns reports. The process that
feeds it is in xdpctl/processes/detector/.
"""
