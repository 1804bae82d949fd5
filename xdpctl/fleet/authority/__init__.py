# SPDX-License-Identifier: GPL-2.0-or-later
"""The fleet's certificate authority. Only root uses its key, at the command line: no process that
runs all the time can read it.
"""
