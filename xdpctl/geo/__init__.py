"""Which country and AS an address is of, and which networks are theirs: from databases on disk.

Read are MMDB files (GeoLite2, DB-IP, IPinfo and their like) and libloc's, which Debian packages.
Nothing is ever downloaded.
"""

from xdpctl.geo.codes import parse_asn, parse_country
from xdpctl.geo.combined import Combined
from xdpctl.geo.files import find_databases, open_database, open_databases, open_installed
from xdpctl.geo.place import GeoDatabase, Place

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
