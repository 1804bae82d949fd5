/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two kinds of packets pass although a source rule would drop them. The first is an ICMP error that
 * says that packets of this host's TCP connection, or of a known flow, are too large (RFC 1191,
 * RFC 8201). The second is, at a limited rate, a DHCP server's reply, because without a lease the
 * box has no network.
 */

#define ICMP_UNREACHABLE 3
#define ICMP_TOO_LARGE	 4 /* a code of ICMP_UNREACHABLE */
#define ICMPV6_TOO_LARGE 2
#define DHCP_REPLY	 2
#define DHCP_COOKIE_AT	 244 /* from the start of the UDP header; options follow */
#define DHCP_COOKIE	 0x63825363
#define DHCP_COST_NS	 10000000  /* 100 packets a second */
#define DHCP_BURST_NS	 500000000 /* 50 packets at once */
#define ERRORS_SALT	 0x6572726f
#define ERRORS_COST_NS	 10000000   /* 100 packets a second to a destination */
#define ERRORS_BURST_NS	 2000000000 /* 200 packets at once */

/*
 * An error that cites a flow is about that flow, but anybody who knows of a flow can cite it. So
 * the rate of errors to one destination is limited.
 */
static __always_inline int errors_exceed(struct search *search, struct packet *error)
{
	u64 to = (u64)error->destination[0] << 32 | error->destination[1];
	u32 index;
	u64 *bucket;

	to ^= ((u64)error->destination[2] << 32 | error->destination[3]) * SPREAD;
	index = bucket_index(search->control, to, ERRORS_SALT);
	bucket = buckets.lookup(&index);
	return !bucket || exceeds(search, bucket, ERRORS_COST_NS, ERRORS_BURST_NS);
}

static __always_inline int is_icmp_error(struct xdp_md *ctx, struct packet *packet)
{
	return packet->protocol == (packet->family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6) &&
	       is_error(ctx, packet);
}

/* Whether it may be one of the two. This is cheap, because every packet of a flood comes here. */
static __always_inline u32 may_be_exempt(struct xdp_md *ctx, struct packet *packet)
{
	u32 icmp = packet->family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
	u32 too_large =
	    packet->family == 4 ? ICMP_UNREACHABLE << 8 | ICMP_TOO_LARGE : ICMPV6_TOO_LARGE << 8;
	__be32 ports; /* for ICMP: type and code, then the checksum */

	if (packet->protocol != PROTOCOL_UDP && packet->protocol != icmp)
		return 0;
	if (read_ports(ctx, packet, (struct ports *)&ports) < 0)
		return 0;
	if (packet->protocol == PROTOCOL_UDP)
		return ports == network32(DHCP_SERVER << 16 | DHCP_CLIENT);
	return host32(ports) >> 16 == too_large;
}

/* Whether the packet that an ICMP error cites belongs to a TCP connection of this host. */
static __always_inline int cites_connection(struct xdp_md *ctx, struct packet *error)
{
	struct packet cited = {};
	struct ports ports = {};

	return read_cited(ctx, error, &cited, &ports) && cited.protocol == PROTOCOL_TCP &&
	       has_connection(ctx, &cited, ports.source, ports.destination);
}

/* The same, and whether it belongs to a known flow. */
static __always_inline enum reason exempt_error(struct xdp_md *ctx, struct search *search,
						struct packet *error)
{
	enum reason why = REASON_NONE;

	if (cites_connection(ctx, error))
		why = REASON_ESTABLISHED;
	else if (asks_flows() && cites_known(ctx, search->control, error))
		why = REASON_KNOWN;
	return why && !errors_exceed(search, error) ? why : REASON_NONE;
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
		return exempt_error(ctx, search, &scratch->packet);
	bucket = buckets.lookup(&index);
	if (!bucket || !is_dhcp_reply(ctx, &scratch->packet) ||
	    exceeds(search, bucket, DHCP_COST_NS, DHCP_BURST_NS))
		return REASON_NONE;
	return REASON_DHCP;
}
