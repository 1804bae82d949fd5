# SPDX-License-Identifier: GPL-2.0-or-later
"""What the audit log has of one action."""

from typing import Any

from xdpctl.control.controller import Controller
from xdpctl.control.store.audit_search import Wanted, newest


def audited(control: Controller, action: str) -> list[dict[str, Any]]:
    """Entries of this action, the newest first, once all operations so far have ended."""
    control.submit(lambda draft: None).result()
    return newest(control.store, Wanted(action=action), 999)
