# SPDX-License-Identifier: GPL-2.0-or-later
"""The dashboard: web pages for people, which call the API as any other client does.

The control plane renders each page, and the page works without scripts. Scripts update it.
"""
