# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists in their publishers' formats, and the entries of each."""

from typing import Any

import pytest

from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.errors import RuleError
from xdpctl.lists.formats import Feed, read
from xdpctl.model.feed_format import FeedFormat

SPAMHAUS = """; Spamhaus DROP List 2026/11/24 - (c) 2026 The Spamhaus Project SLU
; https://www.spamhaus.org/drop/drop.txt
; Last-Modified: Tue, 24 Nov 2026 07:04:39 GMT
1.10.16.0/20 ; SBL256894
1.19.0.0/16 ; SBL434604
"""
SPAMHAUS_JSON = """{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}
{"cidr":"2a06:e480::/29","sblid":"SBL301771","rir":"ripencc"}
{"type":"metadata","timestamp":1764000279,"size":79391,"records":2,"terms":"https://"}
"""
FIREHOL = """#
# firehol_level1
#
# ipv4 hash:net ipset
#
# Entries         : 2 subnets, 612 unique IPs
#
0.0.0.0/8
1.10.16.0/20
2.56.192.7
"""
IPSUM = """# IPsum Threat Intelligence Feed
# (https://github.com/stamparm/ipsum)
#
# IP\tnumber of (black)lists
#
2.57.122.53\t11
77.90.185.20\t8
"""
DSHIELD = """#
#   DShield.org Recommended Block List
#   some rights reserved. Details http://creativecommons.org/licenses/by-nc-sa/2.5/
#
Start\tEnd\tNetblock\tAttacks\tName\tCountry\temail
5.187.35.0\t5.187.35.255\t24\t5512\tNL-NET\tNL\tabuse@example.net
80.94.92.0\t80.94.95.255\t22\t1874\tTECH\xb4S\tGB\t
"""
ABUSEIPDB = """{"meta":{"generatedAt":"2026-11-24T10:00:02+00:00"},"data":[
{"ipAddress":"5.188.10.179","countryCode":"RU","abuseConfidenceScore":100,"lastReportedAt":"x"},
{"ipAddress":"2001:db8::bad","countryCode":"DE","abuseConfidenceScore":99,"lastReportedAt":"x"}]}
"""
AWS = """{
  "syncToken": "1764000000",
  "createDate": "2026-11-24-15-00-00",
  "prefixes": [
    {"ip_prefix": "3.4.12.4/32", "region": "eu-west-1", "service": "AMAZON"},
    {"ip_prefix": "3.5.140.0/22", "region": "ap-northeast-2", "service": "AMAZON"}
  ],
  "ipv6_prefixes": [{"ipv6_prefix": "2a05:d07a:a000::/40", "region": "eu-south-1"}]
}
"""
GOOGLE = '{"prefixes":[{"ipv4Prefix":"8.8.4.0/24"},{"ipv6Prefix":"2001:4860::/32"}]}'
CLOUDFLARE = (
    '{"result":{"ipv4_cidrs":["173.245.48.0/20"],"ipv6_cidrs":["2400:cb00::/32"]},"errors":[]}'
)
EXPORT = '{"match":{"source":"10.0.0.0/8"},"action":"drop","tags":["a"]}\n'
KNOWN: dict[str, tuple[FeedFormat, str, list[str]]] = {
    "spamhaus": (FeedFormat.PLAIN, SPAMHAUS, ["1.10.16.0/20", "1.19.0.0/16"]),
    "spamhaus json": (FeedFormat.NDJSON, SPAMHAUS_JSON, ["1.10.16.0/20", "2a06:e480::/29"]),
    "firehol": (FeedFormat.PLAIN, FIREHOL, ["0.0.0.0/8", "1.10.16.0/20", "2.56.192.7/32"]),
    "ipsum": (FeedFormat.PLAIN, IPSUM, ["2.57.122.53/32", "77.90.185.20/32"]),
    "dshield": (FeedFormat.DSHIELD, DSHIELD, ["5.187.35.0/24", "80.94.92.0/22"]),
    "abuseipdb": (FeedFormat.JSON, ABUSEIPDB, ["5.188.10.179/32", "2001:db8::bad/128"]),
    "abuseipdb plain": (FeedFormat.PLAIN, "5.1.1.179\n1.1.1.9", ["1.1.1.9/32", "5.1.1.179/32"]),
    "blocklist.de": (FeedFormat.PLAIN, "1.2.3.4\n2001:db8::1\n", ["1.2.3.4/32", "2001:db8::1/128"]),
    "aws": (FeedFormat.JSON, AWS, ["3.4.12.4/32", "3.5.140.0/22", "2a05:d07a:a000::/40"]),
    "google": (FeedFormat.JSON, GOOGLE, ["8.8.4.0/24", "2001:4860::/32"]),
    "cloudflare": (FeedFormat.JSON, CLOUDFLARE, ["173.245.48.0/20", "2400:cb00::/32"]),
    "our export": (FeedFormat.NDJSON, EXPORT + EXPORT, ["10.0.0.0/8"]),
    "our export of one": (FeedFormat.NDJSON, EXPORT, ["10.0.0.0/8"]),
    "strings": (FeedFormat.JSON, '["1.2.3.4", "::/0"]', ["1.2.3.4/32", "::/0"]),
    "strings by line": (FeedFormat.NDJSON, '"1.2.3.4"\n"::1"', ["1.2.3.4/32", "::1/128"]),
    "csv": (FeedFormat.CSV, 'id,"ip",cc\n1,"1.2.3.4","a, b"\n2,::1,', ["1.2.3.4/32", "::1/128"]),
    "csv of semicolons": (FeedFormat.CSV, "id;IP Address\n1;1.2.3.4\n", ["1.2.3.4/32"]),
    "csv without names": (FeedFormat.CSV, "# date,ip\n2026-11-24,1.2.3.4,x", ["1.2.3.4/32"]),
    "tabs": (FeedFormat.CSV, "cc\tname\tip\n\t\t1.2.3.4\n", ["1.2.3.4/32"]),
    "ranges": (
        FeedFormat.PLAIN,
        "1.2.3.0-1.2.3.255\n9.9.9.9 - 9.9.9.9 x\n",
        ["1.2.3.0/24", "9.9.9.9/32"],
    ),
}


def shown(feed: Feed) -> list[str]:
    return [str(p) for n, family in FAMILIES.items() for p in family.prefixes(feed.everything[n])]


def refusal(data: str | bytes, *arguments: Any, **named: Any) -> RuleError:
    with pytest.raises(RuleError) as caught:
        read(data.encode() if isinstance(data, str) else data, *arguments, **named)
    assert caught.value.fix
    return caught.value
