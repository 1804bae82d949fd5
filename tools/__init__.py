# SPDX-License-Identifier: GPL-2.0-or-later
"""Tools that generate files for packages; they are not installed."""
