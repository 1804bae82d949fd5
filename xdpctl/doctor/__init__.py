# SPDX-License-Identifier: GPL-2.0-or-later
"""`xdpctl doctor`: checks of the host and of the settings.

Imports config and the layers below it.
"""
