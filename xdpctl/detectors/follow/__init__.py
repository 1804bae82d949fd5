# SPDX-License-Identifier: GPL-2.0-or-later
"""Following a detector that does not post: a file that grows, an API, standard input."""
