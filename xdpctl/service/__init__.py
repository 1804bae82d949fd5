# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes of a host: settings, the supervisor, the control plane, and its client.

Imports everything below; the API and the command line import it.
"""
