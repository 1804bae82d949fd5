# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that run only inside a virtual machine."""
