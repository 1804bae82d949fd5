# SPDX-License-Identifier: GPL-2.0-or-later
"""Attacks that fill the link before they arrive here: how they are noticed, and how providers are
asked to filter them.
"""
