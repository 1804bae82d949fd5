# SPDX-License-Identifier: GPL-2.0-or-later
"""Output for a set that was or was not put, and names that would change the URL path."""

import json
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_cli import Api, Run, api, run
from tests.unit.cli.test_sets import FEED, PATH, PUT, REJECTS, SET, file
from xdpctl.client import Client, path
from xdpctl.errors import Refused, Unreachable

__all__ = ["api", "file", "run"]  # the fixtures


def test_the_first_bad_lines_and_their_number_are_printed(api: Api, run: Run, file: Path) -> None:
    def rejected(number: int) -> dict[str, Any]:
        report = {**SET["report"], "rejected": number}
        return {**PUT, "rejects": REJECTS[:number], "report": report}

    api.answers["PUT", PATH] = [rejected(20), rejected(30), rejected(2_030)]
    err = run("set", "put", "bad", str(file))[2]
    assert (err.count("is not a prefix"), "more" in err) == (20, False)
    err = run("set", "put", "bad", str(file))[2]
    assert err.count("is not a prefix") == 20
    assert "and 10 more; --json shows them" in err
    err = run("set", "put", "bad", str(file))[2]
    assert "and 2,010 more; --json shows the first 30" in err


def test_warnings_are_printed_and_one_entry_is_singular(api: Api, run: Run, file: Path) -> None:
    report = {"entries": 1, "added": 1, "removed": 0}
    api.answers["PUT", PATH] = {**PUT, "rejects": [], "report": report, "warnings": ["mind [it]"]}
    _, out, err = run("set", "put", "bad", str(file))
    assert out == "created: drop bad, 1 entry: 1 added, 0 removed\n"
    assert err == "note: mind [it]\n"


def test_a_put_that_changes_nothing_says_so(api: Api, run: Run, file: Path) -> None:
    api.answers["PUT", PATH] = {**PUT, "created": False, "changed": False}
    assert run("set", "put", "bad", str(file))[1].startswith("unchanged: drop bad, ")


def test_an_empty_reason_is_sent(api: Api, run: Run, file: Path) -> None:
    api.answers["PUT", PATH] = PUT
    run("set", "put", "bad", str(file), "--reason", "")
    assert api.calls[0][2]["params"] == {"reason": "", "format": "auto"}


NOT_FOUND = Refused({"status": 404, "detail": "there is no set 'bad'"})


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (SET, "the set bad is unchanged, with 12,351 entries"),
        ({**SET, "entries": {"ipv4": 1, "ipv6": 0}}, "the set bad is unchanged, with 1 entry"),
        (NOT_FOUND, "there is no set bad"),
        (Refused({"status": 401, "detail": "who?"}), ""),
        (Unreachable("gone"), ""),
    ],
)
def test_a_failed_put_says_which_list_is_in_force(
    api: Api, run: Run, file: Path, answer: Any, says: str
) -> None:
    problem = {"status": 502, "detail": "no answer from DNS"}
    api.answers = {("PUT", PATH): Refused(problem), ("GET", PATH): answer}
    for source in ([str(file)], ["--url", "https://feeds.test/"]):
        code, _, err = run("set", "put", "bad", *source)
        assert code == 1
        assert err == "xdpctl: no answer from DNS\n" + (f"  {says}\n" if says else "")
    err = run("set", "put", "bad", str(file), "--json")[2]
    assert json.loads(err) == {**problem, "stands": says}


@pytest.mark.parametrize("name", [".", "..", "a/b", "a?b=c", "../rules", "a#b", "A", "", "x" * 33])
@pytest.mark.parametrize(
    "words",
    ["put NAME FILE", "list NAME", "list NAME --entries", "remove NAME", "put NAME --monitor"],
)
def test_a_bad_name_is_refused_before_any_request(
    api: Api, run: Run, file: Path, name: str, words: str
) -> None:
    given = {"NAME": name, "FILE": str(file)}
    code, _, err = run("set", *(given.get(word, word) for word in words.split()))
    assert code == 1
    assert "is not a name" in err
    assert "fix: use 1 to 32 of a-z" in err
    assert not api.calls


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give one of FILE, --url, --local, and --country or --asn; or --monitor"),
        (["--force"], "give one of FILE"),
        (["--action", "accept"], "--action needs a list"),
        (["--monitor", "--aggregate"], "--aggregate needs a list"),
        (["--country", "DE", "--url", "https://feeds.test/"], "give one of FILE"),
        (["--country", "DE", "--refresh", "1h"], "--refresh needs --url or --local"),
        (["--except"], "--except and --database go with --country or --asn"),
    ],
)
def test_what_needs_a_list_is_refused_without_one(
    api: Api, run: Run, words: list[str], says: str
) -> None:
    code, _, err = run("set", "put", "bad", *words)
    assert code == 2
    assert says in " ".join(err.split())
    assert not api.calls


def test_a_set_is_changed_without_its_list(api: Api, run: Run) -> None:
    api.answers["PATCH", PATH] = {**PUT, "name": "bad", "mode": "monitor"}
    words = ("--monitor", "--reason", "tried first", "--spare", "known", "--refresh", "2h")
    assert run("set", "put", "bad", *words)[:2] == (0, "bad: monitor\n")
    assert api.calls[-1][2]["json"] == {
        **{"mode": "monitor", "reason": "tried first", "spare": "known", "refresh": "2h"},
    }


def test_other_names_and_addresses_are_checked_too(api: Api, run: Run) -> None:
    for words in (("token", "revoke", "../rules"), ("set", "put", "a/b", "--country", "US")):
        assert "is not a name" in run(*words)[2]
    for address, says in (("1.2.3.999", "not an"), ("a/b", "not an"), ("?", "not an")):
        code, _, err = run("why", address)
        assert code == 1
        assert says in err
    assert not api.calls


def test_a_name_cannot_change_the_url_path() -> None:
    assert path("sets", "a-b.c_d", "top") == "/v1/sets/a-b.c_d/top"
    assert path("why", "2001:db8::1") == "/v1/why/2001:db8::1"
    assert path("tokens", "../a?b#c") == "/v1/tokens/..%2Fa%3Fb%23c"


@pytest.mark.parametrize(
    ("method", "where", "says"),
    [
        ("GET", "/v1/status", ""),
        ("PUT", "/v1/sets/bad", "check with `xdpctl set list`"),
        ("POST", "/v1/rules", "check with `xdpctl audit`"),
    ],
)
@pytest.mark.parametrize("trouble", [TimeoutError("slow"), RemoteDisconnected("gone")])
def test_a_put_without_an_answer_may_have_succeeded(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception, method: str, where: str, says: str
) -> None:
    waited: list[Any] = []

    def connect(connection: HTTPConnection) -> None:
        waited.append(connection.timeout)
        raise trouble

    monkeypatch.setattr(HTTPConnection, "connect", connect)
    client = Client(Path("/nowhere"), url="http://127.0.0.1:1")
    with pytest.raises(Unreachable) as told:
        client.call(method, where, seconds=7.5)
    assert waited == [7.5]
    assert ("may have been made" in str(told.value)) == bool(says)
    assert says in str(told.value)


def test_a_long_error_is_shortened_in_list_and_complete_in_show(api: Api, run: Run) -> None:
    long = "the server answered 404 Not Found, and " + "so on " * 20
    held = {**SET, "feed": {**FEED, "error": long, "failures": 1}}
    api.answers = {("GET", "/v1/sets"): {"sets": [held]}, ("GET", PATH): held}
    (_, row) = run("set", "list")[1].splitlines()
    assert row.endswith("failing: the server answered 404 Not Found, and s…")
    assert f"{long.strip()} (1 time)" in " ".join(run("set", "list", "bad")[1].split())
