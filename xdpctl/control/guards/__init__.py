# SPDX-License-Identifier: GPL-2.0-or-later
"""Guards: checks that refuse a change that would do harm."""
