# SPDX-License-Identifier: GPL-2.0-or-later
"""The data model: rules, sets, incidents, events, callers, and policy checks.

Pure data and checks: no files, no threads, no kernel. Imports base and abi.
"""
