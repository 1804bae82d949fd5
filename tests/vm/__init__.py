"""Kernels other than this machine's: the kernel tests in virtual machines, under plain QEMU."""
