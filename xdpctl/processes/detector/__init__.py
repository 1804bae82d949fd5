# SPDX-License-Identifier: GPL-2.0-or-later
"""The process of the embedded detector: it reads heads, decides, and posts to the hook."""
