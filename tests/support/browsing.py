# SPDX-License-Identifier: GPL-2.0-or-later
"""A browser without a screen: forms, links and a cookie, over the API's TCP door."""

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlencode

import httpx2

from tests.support.apiclient import TCP, Api

ORIGIN = "http://127.0.0.1:8460"


@dataclass
class Browser:
    """Somebody's browser; `cookies` has what was set."""

    api: Api
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self._call("GET", path, {"sec-fetch-site": "none", **headers})

    def post(self, path: str, /, **fields: str) -> httpx2.Response:
        """Send a form of a page of the dashboard."""
        return self.send(path, fields, {"sec-fetch-site": "same-origin", "origin": ORIGIN})

    def send(self, path: str, fields: dict[str, str], headers: dict[str, str]) -> httpx2.Response:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return self._call("POST", path, headers | kind, content=urlencode(fields))

    def act(self, action: str, /, **fields: str) -> Any:
        """Call an action as a script does; return the JSON."""
        headers = {"sec-fetch-site": "same-origin", "accept": "application/json"}
        return self.send(f"/actions/{action}", fields, headers).json()

    def log_in(self, role: str, **more: Any) -> "Browser":
        """Log in with a new token."""
        secret = self.api.token(f"of-{role}", role, **more)
        answer = self.post("/login", token=secret)
        assert answer.status_code == 303, answer.text
        return self

    def _call(
        self, method: str, path: str, headers: dict[str, str], **more: Any
    ) -> httpx2.Response:
        jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"accept": "text/html", **({"cookie": jar} if jar else {}), **headers}
        answer = self.api.call(method, path, TCP, headers=sent, **more)
        for line in answer.headers.get_list("set-cookie"):
            name, value = line.split(";")[0].split("=", 1)
            self.cookies[name] = value.strip('"')
        return answer


def text(answer: httpx2.Response) -> str:
    """The visible text of a page, without markup."""
    visible = re.sub(r"<template.*?</template>", "", answer.text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", visible)).split())
