# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is told of what changed. Imports mitigation and what is below."""
