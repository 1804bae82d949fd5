"""`[notify]` of the configuration file."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from xdpctl.errors import ConfigError

_URLS_MAX, _PER_HOUR, _PER_HOUR_MAX = 20, 30, 1_000


class Kind(StrEnum):
    """What there is to tell: of incidents, of what was refused, of the box itself."""

    OPENED = "opened"
    ESCALATED = "escalated"
    CLOSED = "closed"
    REFUSED = "refused"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """`urls` are Apprise's; they hold secrets and are never shown. At most `per_hour` are sent."""

    urls: tuple[str, ...] = ()
    on: frozenset[Kind] = frozenset(Kind)
    per_hour: int = _PER_HOUR


def read_notify(given: Any) -> NotifySettings:
    """ConfigError names the setting."""
    if not isinstance(given, dict):
        raise ConfigError("notify must be a table: [notify]")
    known = [field.name for field in fields(NotifySettings)]
    for name in given:
        if name not in known:
            raise ConfigError(f"unknown setting notify.{name}; known are {', '.join(known)}")
    urls, on = _texts(given.get("urls", []), "urls"), _texts(given.get("on", [*Kind]), "on")
    if len(urls) > _URLS_MAX:
        raise ConfigError(f"notify.urls are {len(urls)}; give at most {_URLS_MAX}")
    for one in on:
        if one not in list(Kind):
            raise ConfigError(f"notify.on: {one!r} is none of {', '.join(Kind)}")
    most = given.get("per_hour", _PER_HOUR)
    if type(most) is not int or not 1 <= most <= _PER_HOUR_MAX:
        raise ConfigError(f"notify.per_hour is {most!r}; give 1 to {_PER_HOUR_MAX}")
    return NotifySettings(tuple(urls), frozenset(Kind(one) for one in on), most)


def _texts(given: Any, name: str) -> list[str]:
    if isinstance(given, list) and all(isinstance(one, str) and one for one in given):
        return given
    raise ConfigError(f"notify.{name} must be a list of strings")
