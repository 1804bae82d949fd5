# SPDX-License-Identifier: GPL-2.0-or-later
"""How well the embedded detector detects: made and recorded traffic, and the running product."""
