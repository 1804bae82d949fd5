# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels other than this machine's: the kernel tests in virtual machines, under plain QEMU."""
