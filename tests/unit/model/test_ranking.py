# SPDX-License-Identifier: GPL-2.0-or-later
"""What is shown of packets can be given to --match as it is."""

from hypothesis import given
from hypothesis import strategies as st

from xdpctl.model.match import bits, text
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.match.ranking import Head, components, rank

UDP = Head(17, 53, 1234, 512, 4096, 0, 0, 57, 0)
SYN = Head(6, 40000, 443, 60, 2, 0, 0, 64, 1)


def test_a_packet_has_the_components_of_its_protocol() -> None:
    assert components(UDP) == {
        "proto": "udp",
        "src-port": "53",
        "dst-port": "1234",
        "length": "512",
        "ttl": "57",
    }
    assert components(SYN)["flags"] == "syn&!ack"
    assert components(Head(1, 0, 0, 84, 4096, 8, 0, 64, 0)) == {
        "proto": "icmp",
        "icmp-type": "8",
        "icmp-code": "0",
        "length": "84",
        "ttl": "64",
    }
    later = components(Head(17, 0, 0, 1500, 4096, 0, 0, 57, 2 | 8))
    assert later == {"proto": "udp", "length": "1500", "ttl": "57", "fragment": "later+last"}
    other = components(Head(200, 0, 0, 20, 4096, 0, 0, 1, 0))
    assert other == {"proto": "200", "length": "20", "ttl": "1"}


@given(
    st.builds(
        Head,
        st.sampled_from((1, 6, 17, 47, 58, 200)),
        *[st.integers(0, 65535)] * 2,
        st.integers(60, 65535),
        st.integers(0, 511),
        *[st.integers(0, 255)] * 3,
        st.sampled_from((0, 1, 4, 2, 10, 5)),
    )
)
def test_all_that_is_shown_of_a_packet_is_one_match(head: Head) -> None:
    shown = components(head)
    parsed = text.parse(" ".join(f"{word} {value}" for word, value in shown.items()))
    assert len(parsed.components) == len(shown)
    if "flags" in shown:
        wanted = bits.parse(shown["flags"], COMPONENTS["tcp_flags"], "flags")
        assert bits.holds(wanted, head.tcp_flags)


def test_values_are_ranked_by_their_share_of_all_packets() -> None:
    ranked = rank([components(UDP)] * 3 + [components(SYN)])
    assert ranked["proto"] == [("udp", 0.75), ("tcp", 0.25)]
    assert ranked["flags"] == [("syn&!ack", 0.25)]
    assert ranked["src-port"][0] == ("53", 0.75)
    assert rank([]) == {}
