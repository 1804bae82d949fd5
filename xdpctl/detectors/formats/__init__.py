# SPDX-License-Identifier: GPL-2.0-or-later
"""One module for each detector's format: a body's bytes in, events out. Pure."""
