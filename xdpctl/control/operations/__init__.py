# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be asked of the controller: rules, signatures, sets, imports.

Each operation reads and changes a draft; none has an effect of its own.
"""
