# SPDX-License-Identifier: GPL-2.0-or-later
"""The two ways in which a message leaves: by Apprise, and as a signed event to a webhook."""

import base64
import hashlib
import hmac
import logging
import time
from typing import Any

from xdpctl.notify.message import Message
from xdpctl.notify.settings import Webhook

_WHERE_SHOWN = 12
_SECONDS = 10.0  # for a webhook to answer
log = logging.getLogger("xdpctl.notify")


def is_supported(url: str) -> bool:
    """Whether Apprise knows how to use a URL; nothing is sent."""
    return _service(url) is not None


def _service(url: str) -> Any:
    """Apprise for one URL; None if it does not know how to use it."""
    import apprise  # late: a large package, which most hosts do not need

    logging.getLogger("apprise").disabled = True  # Apprise logs parts of URLs, which are secrets
    service: Any = apprise.Apprise()
    return service if service.add(url) else None


def by_apprise(url: str, message: Message) -> bool:
    """Send by Apprise; return whether the service accepted it.

    False for a URL that Apprise does not support. A service that takes no files gets only the text.
    """
    import apprise
    from apprise.attachment.memory import AttachMemory

    service = _service(url)
    if service is None:
        log.error("%s… is not a URL that Apprise supports", url[:_WHERE_SHOWN].split("/")[0])
        return False
    attachment: Any = AttachMemory
    attached = [attachment(content=data, name=name) for name, data in message.news.files]
    severity: Any = message.news.severity.value  # by Apprise's names
    plain: Any = apprise.NotifyFormat.TEXT  # else mail would take it for HTML
    sent = service.notify(
        title=message.title,
        body=message.text,
        notify_type=severity,
        body_format=plain,
        attach=attached or None,
    )
    return bool(sent)


def by_webhook(hook: Webhook, message: Message) -> bool:
    """Post the event, signed; return whether it was accepted, with a status of 2xx."""
    import httpx2  # late: most hosts do not need it

    body, stamp = message.event(), str(int(time.time()))
    headers = {
        "content-type": "application/cloudevents+json",
        "user-agent": "xdpctl",
        "webhook-id": message.identity,
        "webhook-timestamp": stamp,
        "webhook-signature": signature(hook.key, message.identity, stamp, body),
    }
    logging.getLogger("httpx2").disabled = True  # it logs URLs, which are secrets
    try:
        with (
            httpx2.Client(timeout=_SECONDS, trust_env=False) as client,
            client.stream("POST", hook.url, content=body, headers=headers) as answer,
        ):
            return bool(answer.is_success)  # what it says beyond that is not read
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        log.warning("a webhook cannot be reached: %s", type(error).__name__)
        return False


def signature(key: bytes, identity: str, stamp: str, body: bytes) -> str:
    """The signature of Standard Webhooks 1.0.0: HMAC-SHA256 of the id, the time and the body."""
    signed = hmac.new(key, f"{identity}.{stamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"
