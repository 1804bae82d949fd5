# SPDX-License-Identifier: GPL-2.0-or-later
"""Incidents: one record for each attack on one victim, with packets, rates and reports.

Imports lists and the layers below it.
"""
