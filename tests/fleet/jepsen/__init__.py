# SPDX-License-Identifier: GPL-2.0-or-later
"""What people and detectors asked of a fleet under faults, and whether it kept its promises."""
