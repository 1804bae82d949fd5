# SPDX-License-Identifier: GPL-2.0-or-later
"""The live view in a terminal: what the traffic is, and what to do about the selected row.

Only the command `top` imports Textual, and only when it shows the live view.
"""
