# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent of a node: follows the engine, sends what is stated here, and reports.

It submits to the controller of the node like everybody else; the controller knows no engine.
"""
