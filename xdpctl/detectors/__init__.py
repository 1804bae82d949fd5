# SPDX-License-Identifier: GPL-2.0-or-later
"""Adapters for detectors: each format is parsed into events; nothing is decided here.

Imports model and the layers below it.
"""
