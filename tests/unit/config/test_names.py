# SPDX-License-Identifier: GPL-2.0-or-later
"""`[names]`: what cannot name a host is refused."""

import pytest

from xdpctl.config import file as config
from xdpctl.errors import ConfigError
from xdpctl.model.naming import NAME_MAX


@pytest.mark.parametrize(
    ("hosts", "problem"),
    [
        ({"web": "web server"}, r"names\.hosts\.'web': "),
        ({"198.51.100.7": " "}, r"names\.hosts\.'198\.51\.100\.7' must be a name on one line"),
        ({"198.51.100.7": "web\nserver"}, "must be a name on one line"),
        ({"198.51.100.7": "w" * (NAME_MAX + 1)}, f"longer than {NAME_MAX} characters"),
        (
            {"198.51.100.7": "web", "198.51.100.7/32": "mail"},
            r"names\.hosts\.'198\.51\.100\.7/32' and '198\.51\.100\.7' are the same",
        ),
    ],
)
def test_what_cannot_name_a_host_is_refused(hosts: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        config.parse({"names": {"hosts": hosts}})


def test_names_are_kept_by_prefix() -> None:
    names = config.parse({"names": {"hosts": {"198.51.100.7": "web", "198.51.100.0/24": "pupils"}}})
    assert {str(prefix): name for prefix, name in names.names.by_prefix.items()} == {
        "198.51.100.7/32": "web",
        "198.51.100.0/24": "pupils",
    }
