# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot be dropped here, as it fills the link before: noticed, and asked of the provider."""
