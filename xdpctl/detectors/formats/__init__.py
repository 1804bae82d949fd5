# SPDX-License-Identifier: GPL-2.0-or-later
"""One module for each detector's format; each parses the bytes of a body into events. Pure."""
