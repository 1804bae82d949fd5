# SPDX-License-Identifier: GPL-2.0-or-later
"""The structs and constants that the programs in bpf/ and this package share, as in bpf/abi.h.

A test compares both sides with the host's C compiler. Of xdpctl, this package may import only
`errors`.
"""
