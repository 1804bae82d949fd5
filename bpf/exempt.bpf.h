/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two kinds of packets pass although a source rule would drop them. The first is an ICMP error that
 * says that packets of this host's TCP connection are too large (RFC 1191, RFC 8201). The second
 * is, at a limited rate, a DHCP server's reply, because without a lease the box has no network.
 */

#define ICMP_UNREACHABLE 3
#define ICMP_TOO_LARGE	 4 /* a code of ICMP_UNREACHABLE */
#define ICMPV6_TOO_LARGE 2
#define ICMP_HEADER	 8
#define DHCP_REPLY	 2
#define DHCP_COOKIE_AT	 244 /* from the start of the UDP header; options follow */
#define DHCP_COOKIE	 0x63825363
#define DHCP_COST_NS	 10000000  /* 100 packets a second */
#define DHCP_BURST_NS	 500000000 /* 50 packets at once */

/* Whether it may be one of the two. This is cheap, because every packet of a flood comes here. */
static __always_inline u32 may_be_exempt(struct xdp_md *ctx, struct packet *packet)
{
	u32 icmp = packet->family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
	struct ports ports; /* for ICMP: type and code, then the checksum */

	if (packet->protocol != PROTOCOL_UDP && packet->protocol != icmp)
		return 0;
	if (read_ports(ctx, packet, &ports) < 0)
		return 0;
	if (packet->protocol == PROTOCOL_UDP)
		return ports.source == network16(DHCP_SERVER) &&
		       ports.destination == network16(DHCP_CLIENT);
	return ports.source == (packet->family == 4
				    ? network16(ICMP_UNREACHABLE << 8 | ICMP_TOO_LARGE)
				    : network16(ICMPV6_TOO_LARGE << 8));
}

/* Whether the packet that an ICMP error cites belongs to a TCP connection of this host. */
static __always_inline int cites_connection(struct xdp_md *ctx, struct scratch *scratch)
{
	u32 at = scratch->packet.offset + ICMP_HEADER;
	struct packet cited = {.family = scratch->packet.family};
	struct ports ports;

	if (cited.family == 4) {
		struct ipv4 ip;

		if (load_bytes(ctx, at, &ip, sizeof(ip)) < 0 || ip.version_ihl >> 4 != 4 ||
		    ip.protocol != PROTOCOL_TCP || ip.fragment & network16(IPV4_OFFSET))
			return 0;
		cited.source[0] = ip.destination;
		cited.destination[0] = ip.source;
		at += (ip.version_ihl & 0x0f) * 4;
	} else {
		struct ipv6 ip;

		if (load_bytes(ctx, at, &ip, sizeof(ip)) < 0 || ip.next_header != PROTOCOL_TCP)
			return 0;
		__builtin_memcpy(cited.source, ip.destination, sizeof(cited.source));
		__builtin_memcpy(cited.destination, ip.source, sizeof(cited.destination));
		at += sizeof(ip);
	}
	if (load_bytes(ctx, at, &ports, sizeof(ports)) < 0)
		return 0;
	return has_connection(ctx, &cited, ports.destination, ports.source);
}

static __always_inline int is_dhcp_reply(struct xdp_md *ctx, struct packet *packet)
{
	__be32 cookie;
	u8 op;

	return load_bytes(ctx, packet->offset + 8, &op, sizeof(op)) == 0 && op == DHCP_REPLY &&
	       load_bytes(ctx, packet->offset + DHCP_COOKIE_AT, &cookie, sizeof(cookie)) == 0 &&
	       cookie == network32(DHCP_COOKIE);
}

/* The reason to pass the packet, or REASON_NONE if it is neither of the two. */
static __always_inline enum reason exempt(struct xdp_md *ctx, struct search *search,
					  struct scratch *scratch)
{
	u32 index = BUCKET_DHCP;
	u64 *bucket;

	if (!may_be_exempt(ctx, &scratch->packet))
		return REASON_NONE;
	if (scratch->packet.protocol != PROTOCOL_UDP)
		return cites_connection(ctx, scratch) ? REASON_ESTABLISHED : REASON_NONE;
	bucket = buckets.lookup(&index);
	if (!bucket || !is_dhcp_reply(ctx, &scratch->packet) ||
	    exceeds(search, bucket, DHCP_COST_NS, DHCP_BURST_NS))
		return REASON_NONE;
	return REASON_DHCP;
}
