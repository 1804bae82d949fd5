# SPDX-License-Identifier: GPL-2.0-or-later
"""The dashboard: pages for people, which ask the API as any other client does.

Each page is made on the host and works without scripts. Scripts keep it live.
"""
