# SPDX-License-Identifier: GPL-2.0-or-later
"""Every parser of outside input against what nobody would send by mistake.

XDPCTL_FUZZ_SECONDS is how long each test lasts; the default of 2 is the same examples each time.
"""
