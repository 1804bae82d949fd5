# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes of a host and how they are wired: supervisor, control plane, detector, speaker.

Imports everything below; the API and the command line import it.
"""
