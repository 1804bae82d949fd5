/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What keeps the box on its own link passes whatever the rules say. Nothing here can come from
 * beyond the link: a router forwards neither these destinations nor a hop limit of 255, and an
 * unset or link-local address never crosses it. So no flood from outside can learn to use it.
 */
#ifndef XDPCTL_LINK_H
#define XDPCTL_LINK_H

#include "parse.h"

#define NEIGHBOUR_FIRST 133 /* router solicitation */
#define NEIGHBOUR_LAST	137 /* redirect */

static __always_inline int destination_port(struct xdp_md *ctx, struct packet *packet)
{
	struct ports ports;

	if (packet->protocol != PROTOCOL_UDP)
		return -1;
	if (load_bytes(ctx, packet->offset, &ports, sizeof(ports)) < 0)
		return -1;
	return host16(ports.destination);
}

/* 224.0.0.0/24: RFC 5771 section 4. DHCP: RFC 2131 section 4.1. */
static __always_inline enum reason link_ipv4(struct xdp_md *ctx, struct packet *packet)
{
	__be32 destination = packet->destination[0];
	int port;

	if ((destination & network32(0xffffff00)) == network32(0xe0000000))
		return REASON_NEVER_ROUTED;
	if (packet->source[0] != 0 && destination != network32(0xffffffff))
		return REASON_NONE;
	port = destination_port(ctx, packet);
	return port == DHCP_SERVER || port == DHCP_CLIENT ? REASON_DHCP : REASON_NONE;
}

static __always_inline int is_link_local(__be32 first_word)
{
	return (first_word & network32(0xffc00000)) == network32(0xfe800000);
}

/* ff02::/16: RFC 4291 section 2.7. Neighbour discovery: RFC 4861, unfragmented by RFC 6980. */
static __always_inline enum reason link_ipv6(struct xdp_md *ctx, struct packet *packet)
{
	u8 type;
	int port;

	if ((packet->destination[0] & network32(0xffff0000)) == network32(0xff020000))
		return REASON_NEVER_ROUTED;
	if (packet->protocol == PROTOCOL_ICMPV6 && packet->hop_limit == 255 &&
	    !packet->fragmented && load_bytes(ctx, packet->offset, &type, sizeof(type)) == 0 &&
	    type >= NEIGHBOUR_FIRST && type <= NEIGHBOUR_LAST)
		return REASON_NEIGHBOUR;
	if (!is_link_local(packet->source[0]) && !is_link_local(packet->destination[0]))
		return REASON_NONE;
	port = destination_port(ctx, packet);
	return port == DHCPV6_SERVER || port == DHCPV6_CLIENT ? REASON_DHCP : REASON_NONE;
}

#endif
