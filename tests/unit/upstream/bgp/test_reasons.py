# SPDX-License-Identifier: GPL-2.0-or-later
"""Each reason of a lost session is said in words, and with what to do."""

import pytest

from xdpctl.upstream.bgp.reasons import of_notification, of_text


@pytest.mark.parametrize("code", range(1, 9))
@pytest.mark.parametrize("subcode", range(12))
def test_each_notification_has_words(code: int, subcode: int) -> None:
    text = of_notification(code, subcode, "\x00\xff�")
    assert text.endswith(f" (notification {code}/{subcode})")
    assert text.isprintable()
    assert "�" not in text
    assert len(text) > 30


def test_the_text_of_a_shutdown_is_told_and_binary_data_is_not() -> None:
    told = 'Cease / Administrative Shutdown / Shutdown Communication: "back at 9\\n"'
    assert of_notification(6, 2, told).startswith('it was shut down there: "back at 9')
    assert "0x" not in of_notification(2, 2, "0xFFFD")
    assert "cannot be read" in of_notification("x", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("notification sent (2,2)", "check peer_as"),
        ("peer reset, message (notification received (6, 1))", "set `most`"),
        ("closing connection", "does not answer"),
        ("", "the session ended"),
        ("something\nelse", "something else"),
    ],
)
def test_reasons_in_words_of_the_speaker(text: str, said: str) -> None:
    assert said in of_text(text)
