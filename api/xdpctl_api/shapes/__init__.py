# SPDX-License-Identifier: GPL-2.0-or-later
"""API models: the JSON of requests and answers, converted from and to the internal model."""
