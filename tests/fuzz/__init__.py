# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzz tests: every parser of outside input gets malformed and hostile inputs.

XDPCTL_FUZZ_SECONDS is how long each test runs; with the default of 1 the examples are fixed.
"""
