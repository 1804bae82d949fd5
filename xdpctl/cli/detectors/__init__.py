# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for detectors: what they may do, following them, delivering what they report."""
