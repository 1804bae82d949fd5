# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine: etcd 3.5, spoken to over gRPC."""
