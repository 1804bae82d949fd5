/* SPDX-License-Identifier: GPL-2.0-or-later */
/* On an outside interface, a source that cannot be outside is spoofed (RFC 2827, RFC 6890). */

/*
 * The key is in per-CPU memory. On the stack it would make verifier states different that are
 * equivalent for the following code, and the verifier would explore half as many states again.
 */
static __always_inline u32 side_ipv4(__be32 source)
{
	u32 zero = 0, *side;
	struct scratch *scratch = scratches.lookup(&zero);

	if (!scratch)
		return SIDE_UNKNOWN;
	scratch->side.ipv4.length = 32;
	__builtin_memcpy(scratch->side.ipv4.address, &source, sizeof(source));
	side = sides4.lookup(&scratch->side.ipv4);
	return side ? *side : SIDE_UNKNOWN;
}

static __always_inline u32 side_ipv6(__be32 *source)
{
	u32 zero = 0, *side;
	struct scratch *scratch = scratches.lookup(&zero);

	if (!scratch)
		return SIDE_UNKNOWN;
	scratch->side.ipv6.length = 128;
	__builtin_memcpy(scratch->side.ipv6.address, source, sizeof(scratch->side.ipv6.address));
	side = sides6.lookup(&scratch->side.ipv6);
	return side ? *side : SIDE_UNKNOWN;
}

/*
 * What a gateway says to hosts behind a bridge, from its address on their network: neighbour
 * discovery, which is of the link (RFC 4861), and errors, without which they send packets that are
 * too large for ever (RFC 1191, RFC 8201). Errors from anybody meet the rules, and so do these.
 */
static __always_inline int is_of_gateway4(struct ipv4 *header, void *end)
{
	u8 *type = (void *)(header + 1);

	return (void *)(type + 1) <= end && header->version_ihl == 0x45 &&
	       header->protocol == PROTOCOL_ICMP &&
	       !(header->fragment & network16(IPV4_OFFSET | IPV4_MORE_FRAGMENTS)) &&
	       is_error_type(4, *type);
}

static __always_inline int is_of_gateway6(struct ipv6 *header, void *end)
{
	u8 *type = (void *)(header + 1);

	if ((void *)(type + 1) > end || header->next_header != PROTOCOL_ICMPV6)
		return 0;
	return is_error_type(6, *type) ||
	       (header->hop_limit == 255 && *type >= NEIGHBOUR_FIRST && *type <= NEIGHBOUR_LAST);
}

/*
 * Called before the packet is parsed, and keeps no state, so that the verifier explores the rest of
 * the program once. The checks that most packets do not need come last.
 */
static __always_inline int is_spoofed(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end, *ip;
	u32 side = SIDE_UNKNOWN;
	__be16 type = 0;

	ip = behind_link(ctx, &type);
	if (!ip)
		return 0;
	if (type == network16(ETHERTYPE_IPV4)) {
		struct ipv4 *header = ip;

		if ((void *)(header + 1) > end || !is_known_ipv4(header->source))
			return 0;
		side = side_ipv4(header->source);
		if (side == SIDE_INSIDE && is_of_gateway4(header, end))
			return 0;
	} else if (type == network16(ETHERTYPE_IPV6)) {
		struct ipv6 *header = ip;

		if ((void *)(header + 1) > end || !is_known_ipv6(header->source[0]))
			return 0;
		side = side_ipv6(header->source);
		if (side == SIDE_INSIDE && is_of_gateway6(header, end))
			return 0;
	}
	return side == SIDE_INSIDE && !controls_values()->bypass;
}

/* An unspecified source is allowed only for address configuration (see link.h). */
static __always_inline int is_unset(struct packet *packet)
{
	if (packet->family == 4)
		return !packet->source[0];
	return !(packet->source[0] | packet->source[1] | packet->source[2] | packet->source[3]);
}

#define CLIENT_PORTS 1024 /* and above */

static __always_inline int is_error(struct xdp_md *ctx, struct packet *packet)
{
	u8 type;

	if (load_bytes(ctx, packet->offset, &type, sizeof(type)) < 0)
		return 0;
	return is_error_type(packet->family, type);
}

static __always_inline int is_dhcp(struct ports *ports)
{
	return (ports->source == network16(DHCP_SERVER) &&
		ports->destination == network16(DHCP_CLIENT)) ||
	       (ports->source == network16(DHCPV6_SERVER) &&
		ports->destination == network16(DHCPV6_CLIENT));
}

/*
 * Whether it is for a port by which the members of a fleet speak with each other, or an answer from
 * there. An answer must go to a client's port, so whoever forges a node's address reaches no other
 * ports.
 */
static __always_inline u32 is_of_fleet(struct control *control, struct ports *ports)
{
	u64 found = 0, answers = host16(ports->destination) >= CLIENT_PORTS;

#pragma unroll
	for (int i = 0; i < FLEET_PORTS; i++) {
		u64 port = *(volatile u16 *)&control->fleet_ports[i], given = is_zero(port) ^ 1;

		found |= given & (is_zero(port ^ ports->destination) |
				  (answers & is_zero(port ^ ports->source)));
	}
	return found;
}

static __always_inline u32 side_of(struct packet *packet)
{
	return packet->family == 4 ? side_ipv4(packet->source[0]) : side_ipv6(packet->source);
}

static __always_inline int is_member(struct packet *packet)
{
	return side_of(packet) == SIDE_MEMBER;
}

/* Of sources that cannot be outside only ICMP errors get this far. No accept lets them in. */
static __always_inline int is_error_of_inside(struct packet *packet)
{
	return packet->protocol == (packet->family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6) &&
	       side_of(packet) == SIDE_INSIDE;
}

/*
 * Whether it is a packet that a gateway, a resolver or a routing peer would send. All other packets
 * from there are treated like packets of any source. OF_FLEET: it is traffic between the nodes of
 * the fleet, and from one of them, so signatures do not stop it either.
 */
static __always_inline u32 is_of_neighbour(struct xdp_md *ctx, struct control *control,
					   struct packet *packet)
{
	u32 protocol = packet->protocol;
	struct ports ports;

	if (protocol == PROTOCOL_VRRP || protocol == PROTOCOL_OSPF || protocol == PROTOCOL_IGMP)
		return 1;
	if (protocol == (packet->family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6))
		return is_error(ctx, packet);
	if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP)
		return 0;
	if (read_ports(ctx, packet, &ports) < 0)
		return 0;
	if (ports.source == network16(DNS) || ports.source == network16(DNS_OVER_TLS))
		return 1;
	if (protocol == PROTOCOL_TCP && is_of_fleet(control, &ports) && is_member(packet))
		return OF_FLEET;
	if (protocol == PROTOCOL_TCP)
		return ports.source == network16(BGP) || ports.destination == network16(BGP);
	return is_dhcp(&ports) || ports.destination == network16(BFD) ||
	       ports.destination == network16(BFD_ECHO) ||
	       ports.destination == network16(BFD_MULTIHOP);
}
