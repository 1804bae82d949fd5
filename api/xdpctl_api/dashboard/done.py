# SPDX-License-Identifier: GPL-2.0-or-later
"""What an action of a form has done."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from xdpctl_api.dashboard.api_calls import ApiCalls
from xdpctl_api.dashboard.forms import Form


class Done(NamedTuple):
    """What was done, the number of the change, and the page to show if it is not the form's."""

    text: str
    undo: int | None = None
    page: str = ""
    secret: str = ""  # a new token's secret, which the page shows only once
    keep: str = ""  # the id of a provisional rule
    ends_in: float | None = None  # seconds


Action = Callable[[ApiCalls, Form], Awaitable[Done]]
