# SPDX-License-Identifier: GPL-2.0-or-later
"""What things are and what may be: rules, signatures, sets, incidents, events, callers, policy.

Pure data and checks: no files, no threads, no kernel. Imports base and abi.
"""
