# SPDX-License-Identifier: GPL-2.0-or-later
"""The fleet's certificate authority. Its key is used by root, at the command line, and by nobody
else: no process that runs all the time can read it.
"""
