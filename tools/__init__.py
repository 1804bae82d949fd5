# SPDX-License-Identifier: GPL-2.0-or-later
"""What makes files for packages; none of it is installed."""
