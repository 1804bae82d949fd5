# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger: assigns events and rules to incidents, and updates the incidents' records."""
