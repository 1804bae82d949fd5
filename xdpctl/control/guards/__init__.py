# SPDX-License-Identifier: GPL-2.0-or-later
"""What no change may do unless it is meant."""
