# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients in other languages, generated from the OpenAPI document: `make test-clients`."""
