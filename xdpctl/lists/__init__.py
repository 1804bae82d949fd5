# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of prefixes from outside: feeds that are refreshed, files, uploads, geo databases.

All lists are untrusted input, so their bytes and their time are limited. Imports control and the
layers below it.
"""
