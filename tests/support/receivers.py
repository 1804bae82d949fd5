# SPDX-License-Identifier: GPL-2.0-or-later
"""Receivers of notifications: a webhook, and one that only keeps them."""

import base64
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from xdpctl.notify.dispatcher import Target
from xdpctl.notify.message import Message

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class Taker(BaseHTTPRequestHandler):
    """Takes events, or answers with the status that the path names."""

    taken: list[tuple[Any, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.taken.append((self.headers, body))
        self.send_response(int(self.path.strip("/")))
        self.send_header("location", "/200")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Kept(Target):
    """Keeps the messages instead of sending them."""

    def __init__(self) -> None:
        super().__init__("kept", lambda _: True, threading.Event())
        self.messages: list[Message] = []

    def put(self, message: Message) -> None:
        self.messages.append(message)
