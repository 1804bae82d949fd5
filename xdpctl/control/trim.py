# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the audit log, and what can be undone, within their bounds."""

from xdpctl.control.committer import Committer
from xdpctl.control.store.audit import CHECKPOINT, Event, Sign, checkpoint

# Limits of what can be undone. Beyond either, the oldest changes are dropped.
_CHANGES, _CHANGES_BYTES = 1_000, 64 << 20
# Limits of the audit log. Beyond either, the oldest records are replaced by a signed checkpoint,
# and this share of the log is kept.
_AUDIT_RECORDS, _AUDIT_BYTES, _AUDIT_KEPT = 500_000, 256 << 20, 0.8


def trim(committer: Committer, sign: Sign) -> None:
    """Drop the oldest changes that can be undone, and the start of a long audit log."""
    store = committer.store
    store.trim_changes(_CHANGES, _CHANGES_BYTES)
    records, size = store.audit_size()
    share = max(records / _AUDIT_RECORDS, size / _AUDIT_BYTES)
    if share <= 1:
        return
    keep = int(records / share * _AUDIT_KEPT)
    newest = committer.chain.sequence
    (last,) = store.audit(newest - keep - 1, 1)
    mark = checkpoint(last, records - keep, committer.clock.read().unix, sign)
    store.forget_audit(newest - keep, {CHECKPOINT: mark})
    committer.state.checkpoint = mark
    committer.record(Event("xdpctl", "audit.trim", "", {"records": records - keep}))
