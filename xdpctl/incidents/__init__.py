# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened: one record for each attack on one victim, its packets and rates, the report.

Imports lists and what is below.
"""
