# SPDX-License-Identifier: GPL-2.0-or-later
"""One thread decides: requests become drafts, drafts one durable write and one plan for the kernel.

Imports datapath and what is below; nothing here imports HTTP, detectors or incidents.
"""
