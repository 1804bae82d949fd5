"""`[[limits]]` of the configuration file."""

from typing import Any

from xdpctl.base.durations import parse_duration
from xdpctl.control.operations.default_limits import DefaultLimit
from xdpctl.errors import ConfigError, RuleError
from xdpctl.model.match.match import build
from xdpctl.model.match.text import parse
from xdpctl.model.rule import Mode, Spare, check_reason
from xdpctl.model.signature import Rate

_KNOWN = ("match", "pps", "bps", "per", "burst", "mode", "spare", "reason")
_SOURCE = (32, 64)


def read_limits(tables: Any) -> tuple[DefaultLimit, ...]:
    """ConfigError names the setting: `limits[2].pps`."""
    if not isinstance(tables, list):
        raise ConfigError("limits must be tables: [[limits]]")
    found = tuple(_limit(table, f"limits[{n}]") for n, table in enumerate(tables, 1))
    seen = [limit.match.id for limit in found]
    for number, identity in enumerate(seen, 1):
        if identity in seen[: number - 1]:
            raise ConfigError(f"limits[{number}] matches the same as one before it")
    return found


def _limit(table: Any, where: str) -> DefaultLimit:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table")
    unknown = [name for name in table if name not in _KNOWN]
    if unknown:
        raise ConfigError(f"unknown setting {where}.{unknown[0]}; known are {', '.join(_KNOWN)}")
    try:
        match = table.get("match", {})
        if not isinstance(match, str | dict):
            raise RuleError("match is no text or table", "match", 'write match = "udp dst-port 53"')
        mode, spare = table.get("mode", "enforce"), table.get("spare")
        if mode not in list(Mode) or spare not in (None, *Spare):
            raise RuleError("mode is enforce or monitor, spare established or none")
        check_reason(str(table.get("reason", "")))
        return DefaultLimit(
            parse(match) if isinstance(match, str) else build(match),
            read_rate(table),
            Mode(mode),
            Spare(spare) if spare else None,
            str(table.get("reason", "")),
        )
    except (RuleError, TypeError) as error:
        fix = getattr(error, "fix", "")
        raise ConfigError(f"{where}: {error}" + (f"; {fix}" if fix else "")) from error


def read_rate(table: dict[str, Any]) -> Rate:
    """From pps or bps, per and burst."""
    numbers = {name: table.get(name, 0) for name in ("pps", "bps")}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RuleError(f"{name} is {value!r}", name, "write a number")
    burst = table.get("burst", 0.1)
    if isinstance(burst, bool) or not isinstance(burst, str | int | float):
        raise RuleError(f"burst is {burst!r}", "burst", 'write seconds, or "1s"')
    lengths = _lengths(table.get("per", "all"))
    return Rate(
        float(numbers["pps"]),
        float(numbers["bps"]),
        parse_duration(burst, "burst") if isinstance(burst, str) else float(burst),
        *lengths,
    )


def _lengths(per: Any) -> tuple[int, int]:
    """`all`, `source`, `/24` or `/24,/56`."""
    if per == "all":
        return 0, 0
    if per == "source":
        return _SOURCE
    parts = [part.strip().removeprefix("/") for part in str(per).split(",")]
    numbers = [
        int(part) if part.isascii() and part.isdigit() and len(part) <= 3 else 0 for part in parts
    ]
    if len(parts) > 2 or not all(numbers):
        raise RuleError(f"per is {per!r}", "per", "write all, source, /24 or /24,/56")
    return numbers[0], numbers[1] if len(numbers) == 2 else _SOURCE[1]
