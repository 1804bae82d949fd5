/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets that keep the box connected to its link pass whatever the rules say. They cannot come
 * from beyond the link: a router does not forward these destinations or link-local addresses, and
 * decrements a hop limit of 255 (RFC 5082). So an attacker outside the link cannot exploit this.
 */
#ifndef XDPCTL_LINK_H
#define XDPCTL_LINK_H

#include "parse.h"

#define NEIGHBOUR_FIRST 133 /* router solicitation */
#define NEIGHBOUR_LAST	137 /* redirect */

#define MLD_FIRST     130 /* query; report and done follow (RFC 2710) */
#define MLD_LAST      132
#define MLD_REPORT    143 /* version 2 (RFC 9777) */
#define BGP	      179
#define BFD	      3784 /* single-hop (RFC 5881) */
#define BFD_ECHO      3785
#define BFD_MULTIHOP  4784 /* RFC 5883 */
#define DNS	      53
#define DNS_OVER_TLS  853
#define DIRECT_LAST   1023
#define SEVERAL_HOSTS 0xe0000000 /* from here on: multicast (RFC 5771), broadcast */

/* The ports of TCP or UDP; -1 if there are none. In the frame's first buffer it needs no helper. */
static __always_inline int read_ports_at(FRAME *ctx, u32 offset, struct ports *ports)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ports *at = data + (offset & DIRECT_LAST);

	if (offset > DIRECT_LAST || (void *)(at + 1) > end)
		return load_bytes(ctx, offset, ports, sizeof(*ports)) < 0 ? -1 : 0;
	__builtin_memcpy(ports, at, sizeof(*ports));
	return 0;
}

static __always_inline int read_ports(FRAME *ctx, struct packet *packet, struct ports *ports)
{
	return read_ports_at(ctx, packet->offset, ports);
}

/* Whether a packet with TTL 255 is a control protocol: VRRP, single-hop BFD or BGP. */
static __always_inline int is_control(FRAME *ctx, struct packet *packet)
{
	struct ports ports;

	if (packet->protocol == PROTOCOL_VRRP)
		return 1;
	if (packet->protocol != PROTOCOL_UDP && packet->protocol != PROTOCOL_TCP)
		return 0;
	if (read_ports(ctx, packet, &ports) < 0)
		return 0;
	if (packet->protocol == PROTOCOL_UDP)
		return ports.destination == network16(BFD);
	return ports.source == network16(BGP) || ports.destination == network16(BGP);
}

static __always_inline int destination_port(FRAME *ctx, struct packet *packet)
{
	struct ports ports;

	if (packet->protocol != PROTOCOL_UDP || read_ports(ctx, packet, &ports) < 0)
		return -1;
	return host16(ports.destination);
}

/* 224.0.0.0/24: RFC 5771 section 4. DHCP: RFC 2131 section 4.1. IGMP reports: RFC 2236. */
static __always_inline enum reason link_ipv4(FRAME *ctx, struct packet *packet)
{
	__be32 destination = packet->destination[0];
	int port;

	/* nearly every packet: it is not for several hosts, and comes from beyond the link */
	if (host32(destination) < SEVERAL_HOSTS && packet->hop_limit != 255)
		return REASON_NONE;
	if ((destination & network32(0xffffff00)) == network32(0xe0000000))
		return REASON_NEVER_ROUTED;
	if (packet->hop_limit == 255 && is_control(ctx, packet))
		return REASON_CONTROL;
	if (packet->protocol == PROTOCOL_IGMP &&
	    (destination & network32(0xf0000000)) == network32(0xe0000000))
		return REASON_CONTROL;
	if (destination != network32(0xffffffff))
		return REASON_NONE;
	port = destination_port(ctx, packet);
	return port == DHCP_SERVER || port == DHCP_CLIENT ? REASON_DHCP : REASON_NONE;
}

static __always_inline int is_link_local(__be32 first_word)
{
	return (first_word & network32(0xffc00000)) == network32(0xfe800000);
}

/* Whether a packet from a link-local address is multicast listener discovery or unicast OSPF. */
static __always_inline int is_link_control(FRAME *ctx, struct packet *packet)
{
	u8 type;

	if (packet->protocol == PROTOCOL_OSPF)
		return 1;
	if (packet->protocol != PROTOCOL_ICMPV6 || packet->fragmented ||
	    load_bytes(ctx, packet->offset, &type, sizeof(type)) < 0)
		return 0;
	return (type >= MLD_FIRST && type <= MLD_LAST) || type == MLD_REPORT;
}

/* ff02::/16: RFC 4291 section 2.7. Neighbour discovery: RFC 4861, unfragmented by RFC 6980. */
static __always_inline enum reason link_ipv6(FRAME *ctx, struct packet *packet)
{
	u8 type;
	int port;

	if ((packet->destination[0] & network32(0xffff0000)) == network32(0xff020000))
		return REASON_NEVER_ROUTED;
	if (packet->protocol == PROTOCOL_ICMPV6 && packet->hop_limit == 255 &&
	    !packet->fragmented && load_bytes(ctx, packet->offset, &type, sizeof(type)) == 0 &&
	    type >= NEIGHBOUR_FIRST && type <= NEIGHBOUR_LAST)
		return REASON_NEIGHBOUR;
	if (packet->hop_limit == 255 && is_control(ctx, packet))
		return REASON_CONTROL;
	if (!is_link_local(packet->source[0]) && !is_link_local(packet->destination[0]))
		return REASON_NONE;
	if (is_link_local(packet->source[0]) && is_link_control(ctx, packet))
		return REASON_CONTROL;
	port = destination_port(ctx, packet);
	return port == DHCPV6_SERVER || port == DHCPV6_CLIENT ? REASON_DHCP : REASON_NONE;
}

#endif
