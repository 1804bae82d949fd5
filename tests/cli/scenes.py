# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person does at a box, command by command; each scene begins with an empty one.

`{change}` and `{incident}` stand for the newest ones; texts after `##` answer the questions.
"""

RULES = """
xdpctl block 203.0.113.0/24 --ttl 1d2h30m --tag botnet --reason "SYN flood, ticket 4711"
xdpctl block 2001:db8:1234:5678:9abc:def0:1234:5678 --monitor --tag botnet
xdpctl limit --match "tcp flags syn dst-port 443" --pps 100 --per source --reason "SYN flood"
xdpctl block 198.51.100.9 --confirm-within 59m50s
"""
SCENES = {
    "help": """
xdpctl --help
xdpctl block --help
xdpctl set
""",
    "status": "xdpctl status",
    "list": "xdpctl list\nxdpctl list -o wide\nxdpctl list --origin nobody",
    "list-short": "xdpctl list --within 203.0.113.0/24",
    "why-rule": """
xdpctl why 203.0.113.0/24
xdpctl why "tcp flags syn dst-port 443"
xdpctl why 2001:db8:1234:5678:9abc:def0:1234:5678
xdpctl why 203.0.113.200/32
""",
    "set": """
xdpctl set list
xdpctl set put feed drop.txt --reason "from the provider"
xdpctl set put feed drop.txt
xdpctl set list
xdpctl set list feed
xdpctl set put feed --monitor
xdpctl set put feed
xdpctl set list feed --entries
xdpctl set put https://example.org/drop.txt
xdpctl set put feed https://example.org/drop.txt
xdpctl set put feed nothing.txt
xdpctl set remove feed
xdpctl set list feed
""",
    "incident": """
xdpctl incidents --open
xdpctl incident open 198.51.100.7 --attack udp_flood --note "seen at the router"
xdpctl incident open 198.51.100.7
xdpctl incidents --limit 1
xdpctl incident show {incident}
xdpctl incident report {incident} --for board
xdpctl incident close {incident}
xdpctl incident close {incident}
xdpctl incident show 1
""",
    "attackers": """
xdpctl attackers list
xdpctl attackers release 10.0.3.7
xdpctl attackers release 10.0.3
""",
    "expect": """
xdpctl expect list
xdpctl expect add conference --up-to 20000 --dst 198.51.100.7 --kind udp --reason "ticket 4711"
xdpctl expect add conference --up-to 3x
xdpctl expect add bell --at 8:15 --for 10m --days mon,tuesday --up-to 5x
xdpctl expect add bell --at 8:15 --up-to 5x
xdpctl expect add bell --up-to much
xdpctl expect list
xdpctl expect remove conference
xdpctl expect remove conference
xdpctl incident close 1 --legitimate
""",
    "history": """
xdpctl block 203.0.113.7
xdpctl block 2001:db8:1234:5678:9abc:def0:1234:5678
xdpctl history --limit 2
xdpctl undo {change} --dry-run
xdpctl undo {change}
xdpctl history --limit 1
xdpctl undo
xdpctl undo 99999
""",
    "unblock": """
xdpctl block 203.0.113.7 --tag botnet
xdpctl block 203.0.113.9 --tag botnet
xdpctl unblock --tag botnet --dry-run
xdpctl unblock --tag botnet ## n
xdpctl unblock --tag botnet ## y
xdpctl unblock 203.0.113.7
xdpctl unblock 203.0.113.7 203.0.113.9
""",
    "block": """
xdpctl block 203.0.113.7
xdpctl block 203.0.113.7
xdpctl block 203.0.113.8 --ttl 1d1h30m
xdpctl block 203.0.113.8 --ttl 1d2h30m
xdpctl block 203.0.113.9 --monitor
xdpctl block 203.0.113.10 --confirm-within 59m50s
xdpctl block 192.0.2.1
xdpctl allow 203.0.113.7
xdpctl unblock 203.0.113.7
""",
    "wide": """
xdpctl block 28.0.0.0/7 ## n
xdpctl block 28.0.0.0/7 ## y
""",
    "allow": """
xdpctl allow 203.0.113.9 --ttl 1d2h30m
xdpctl limit 203.0.113.10 --pps 5k
xdpctl limit --match "udp dst-port 53" --bps 100M --per /24
xdpctl limit --match udp
""",
    "why": """
xdpctl block 203.0.113.0/24
xdpctl why 203.0.113.7
xdpctl why 198.51.100.7 --protocol tcp
xdpctl why nowhere
""",
    "capture": """
xdpctl capture --summary --seconds 0.1
xdpctl capture --every 3
""",
    "audit": """
xdpctl block 203.0.113.7 --reason "SYN flood"
xdpctl block 203.0.113.9
xdpctl unblock 203.0.113.7 203.0.113.9
xdpctl audit --limit 3
""",
    "automatic": """
xdpctl automatic
xdpctl automatic off
xdpctl automatic configured
xdpctl automatic maybe
xdpctl hook event --body event.json --dry-run
xdpctl hook event --body nothing.json --dry-run
""",
    "token": """
xdpctl token list
xdpctl token create fastnetmon --role detector --origin fastnetmon
xdpctl token create fastnetmon --role viewer
xdpctl token list
xdpctl token revoke fastnetmon
xdpctl token revoke fastnetmon
""",
    "usage": """
xdpctl blok 203.0.113.7
xdpctl block 203.0.113.7 --tll 1h
xdpctl block
xdpctl why
xdpctl block https://www.spamhaus.org/drop/drop_v4.json
xdpctl block 203.0.113.7:443
xdpctl block 203.0.113.7 --ttl soon
xdpctl block 203.0.113.7 --confirm-within 1d
xdpctl block --match "udp scr-port 53"
xdpctl list --action deny
""",
    "gone": """
xdpctl --socket /nowhere list
xdpctl --url ftp://x list
""",
}
# what they print is the same at 80 and at 120 columns
NARROW = frozenset(("unblock", "wide", "capture", "audit", "token", "usage", "gone", "block"))
PREPARED = frozenset(("status", "list", "list-short", "why-rule"))  # with RULES, and an attack
