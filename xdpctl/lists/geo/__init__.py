# SPDX-License-Identifier: GPL-2.0-or-later
"""Which country and AS an address is of, and which networks are theirs: from databases on disk.

Read are MMDB files (GeoLite2, DB-IP, IPinfo and their like) and libloc's, which Debian packages.
Nothing is ever downloaded.
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
