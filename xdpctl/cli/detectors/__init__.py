# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for detectors: set their mode, follow their output, deliver their reports."""
