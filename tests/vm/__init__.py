# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel tests on other kernels, in virtual machines under plain QEMU."""
