# SPDX-License-Identifier: GPL-2.0-or-later
"""Geo databases on disk: the country and AS of an address, and the networks of a country or AS.

MMDB files (GeoLite2, DB-IP, IPinfo and similar ones) and libloc's database, which Debian packages,
are supported. Nothing is downloaded.
"""

from xdpctl.lists.geo.codes import parse_asn, parse_country
from xdpctl.lists.geo.combined import Combined
from xdpctl.lists.geo.files import find_databases, open_database, open_databases, open_installed
from xdpctl.lists.geo.place import GeoDatabase, Place

__all__ = [
    "Combined",
    "GeoDatabase",
    "Place",
    "find_databases",
    "open_database",
    "open_databases",
    "open_installed",
    "parse_asn",
    "parse_country",
]
