# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane's HTTP face: routes, roles and problems over the controller."""
