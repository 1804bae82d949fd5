# SPDX-License-Identifier: GPL-2.0-or-later
"""Incidents: a record of each attack on one victim, with packets, rates and reports.

Imports lists and the layers below it.
"""
