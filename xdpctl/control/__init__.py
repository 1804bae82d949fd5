# SPDX-License-Identifier: GPL-2.0-or-later
"""The controller: one thread turns requests into drafts, and stores and applies each draft.

A draft becomes one durable write to the store and one plan for the kernel.

Imports datapath and the layers below it; nothing here imports HTTP, detectors or incidents.
"""
