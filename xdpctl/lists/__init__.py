# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of prefixes from outside: feeds that are refreshed, files, uploads, geo databases.

All of it is untrusted input, bounded in bytes and time. Imports control and the layers below it.
"""
