# SPDX-License-Identifier: GPL-2.0-or-later
"""The routes of v1, one file per resource."""
