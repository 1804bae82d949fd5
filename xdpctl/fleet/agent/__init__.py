# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent of a node: follows the engine, publishes this node's intents, and reports.

It submits operations to the node's controller as every caller does. The controller does not know
the engine.
"""
