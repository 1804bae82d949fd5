/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kinds of packets, and the strata of what comes in: a kind towards a destination. */

static __always_inline u32 tcp_kind(u32 flags)
{
	if (flags == NO_TCP_FLAGS)
		return TRAFFIC_TCP;
	if (flags & FLAG_RST)
		return TRAFFIC_RST;
	flags &= FLAG_SYN | FLAG_ACK;
	if (flags == FLAG_SYN)
		return TRAFFIC_SYN;
	return flags == (FLAG_SYN | FLAG_ACK) ? TRAFFIC_SYN_ACK : TRAFFIC_TCP;
}

static __always_inline u32 udp_kind(struct packet *packet, u32 *values)
{
	if (is_service(values[FIELD_SOURCE_PORT]))
		return TRAFFIC_UDP_SERVICE;
	if (values[FIELD_DESTINATION_PORT] == PORT_DNS)
		return TRAFFIC_DNS_QUERY;
	if (values[FIELD_DESTINATION_PORT] == PORT_HTTPS &&
	    packet->end - packet->ip >= QUIC_INITIAL_LEAST)
		return TRAFFIC_QUIC_INITIAL;
	return TRAFFIC_UDP;
}

/* The kind of a parsed packet; xdpctl/traffic/classify.py has the same in Python. */
static __always_inline u32 traffic_kind(struct xdp_md *ctx, struct scratch *scratch)
{
	struct packet *packet = &scratch->packet;
	u32 protocol = packet->protocol & 255;

	if (!packet->family)
		return TRAFFIC_OTHER;
	if (packet->protocol & PROTOCOL_NOT_IN_FRAME)
		return TRAFFIC_FRAGMENT;
	if (protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6)
		return TRAFFIC_ICMP;
	read_transport(ctx, packet, scratch->values);
	if (protocol == PROTOCOL_TCP)
		return tcp_kind(scratch->values[FIELD_TCP_FLAGS]);
	if (protocol == PROTOCOL_UDP)
		return udp_kind(packet, scratch->values);
	if (protocol == PROTOCOL_GRE)
		return TRAFFIC_GRE;
	return protocol == PROTOCOL_ESP ? TRAFFIC_ESP : TRAFFIC_OTHER;
}

/* The seeds keep a sender from aiming at the cell of another stratum. */
static __always_inline u32 stratum_of(struct control *control, struct packet *packet, u32 kind)
{
	struct address6 to = {
	    .high = (u64)packet->destination[0] << 32 | packet->destination[1],
	    .low = (u64)packet->destination[2] << 32 | packet->destination[3],
	};

	return hash6(control->seeds, &to, kind) >> (64 - STRATA_LOG2);
}
