# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of a limit, as the API takes them."""

from typing import Any

import typer

from xdpctl.errors import RuleError
from xdpctl.model.rate import read_amount, read_per


def limit_body(pps: str | None, bps: str | None, burst: str, per: str) -> dict[str, Any]:
    """A limit as the API takes it."""
    rate = {"pps": number(pps, "pps"), "bps": number(bps, "bps"), "burst": burst, "per": _per(per)}
    return {key: value for key, value in rate.items() if value is not None}


def number(given: str | None, option: str) -> float | None:
    """Parse an amount such as `5000`, `5k`, `100M` or `1.5G`."""
    if given is None:
        return None
    try:
        return read_amount(given, option)
    except RuleError as error:
        raise typer.BadParameter(f"--{option} is {given!r}: {error.fix}") from None


def _per(given: str) -> str:
    try:
        read_per(given)
    except RuleError as error:
        raise typer.BadParameter(f"--per is {given!r}: {error.fix}") from None
    return given
