# SPDX-License-Identifier: GPL-2.0-or-later
"""Histories of requests to a fleet under faults, and a checker of what it must guarantee."""
