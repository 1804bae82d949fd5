"""CrowdSec's local API: a bouncer that pulls decisions, all of them first, then what changed."""

import logging
from collections.abc import Callable

import httpx

from xdpctl import __version__
from xdpctl.errors import ConfigError

_SECONDS = 30.0
_RESYNC = 360  # pulls after which all decisions are asked for again: a delta may have been lost
log = logging.getLogger("xdpctl.follow")


def follow(
    lapi: str,
    key: str,
    every: float,
    give: Callable[[bytes], bool],
    wait: Callable[[float], bool],
) -> None:
    """Until `wait(seconds)` or `give(body)` says so.

    ConfigError for a key that the API does not know.
    """
    headers = {"X-Api-Key": key, "User-Agent": f"xdpctl/{__version__}"}
    pulls, startup = 0, True
    with httpx.Client(base_url=lapi, headers=headers, timeout=_SECONDS) as session:
        while True:
            body = _pull(session, startup)
            if body is not None:
                if not give(body):
                    return
                pulls += 1
            startup = body is None or pulls % _RESYNC == 0
            if wait(every):
                return


def _pull(session: httpx.Client, startup: bool) -> bytes | None:
    """What the stream answers; None if it does not, and then all has to be asked for again."""
    try:
        answer = session.get("/v1/decisions/stream", params={"startup": str(startup).lower()})
    except httpx.HTTPError as error:
        log.warning("%s does not answer: %s", session.base_url, error)
        return None
    if answer.status_code in (401, 403):
        raise ConfigError(
            f"{session.base_url} does not know this key; make one: cscli bouncers add xdpctl"
        )
    if not answer.is_success:
        log.warning("%s answers %d", session.base_url, answer.status_code)
        return None
    return answer.content
