# SPDX-License-Identifier: GPL-2.0-or-later
"""What the product does to people beside an attack, or without one, and what gets around it."""
