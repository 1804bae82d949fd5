# SPDX-License-Identifier: GPL-2.0-or-later
"""Prefixes from elsewhere: feeds that are fetched again and again, files, uploads, geo databases.

All of it is hostile input, bounded in bytes and time. Imports control and what is below.
"""
