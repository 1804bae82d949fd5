# SPDX-License-Identifier: GPL-2.0-or-later
"""Notifications of changes. Imports mitigation and what is below."""
