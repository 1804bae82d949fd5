# SPDX-License-Identifier: GPL-2.0-or-later
"""Which incident an event or a rule belongs to, and what its record says after each change."""
