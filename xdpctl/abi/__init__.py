# SPDX-License-Identifier: GPL-2.0-or-later
"""What the programs in bpf/ and this package agree on: the structs and constants of bpf/abi.h.

A test has the host's C compiler compare both. Imports nothing of ours but errors.
"""
