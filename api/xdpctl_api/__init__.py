# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane's HTTP API: routes, roles and problem details over the controller."""
