# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of what a person gives for a node: its name, groups and address."""

import ipaddress
from collections.abc import Sequence

from xdpctl.errors import ConfigError
from xdpctl.fleet.authority.layout import ADMIN
from xdpctl.fleet.settings import NAME_MAX
from xdpctl.model.names import check_name


def check_address(address: str) -> None:
    """ConfigError unless it is an IP address: etcd listens on it."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ConfigError(
            f"--address {address[:80]!r} is no IP address: give the address at which the other "
            "nodes reach this one"
        ) from None


def check_groups(groups: Sequence[str]) -> None:
    for group in groups:
        check_name(group, "--group")


def check_node_name(name: str) -> None:
    check_name(name, "name")
    if len(name) > NAME_MAX or name == ADMIN:
        raise ConfigError(f"{name!r} cannot be a node's name: give at most {NAME_MAX} characters")
