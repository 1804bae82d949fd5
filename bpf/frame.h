/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a frame has in front of the IP header. LINK_LAYER says for which kind of interface the
 * programs are compiled: with Ethernet, or with nothing (tun, WireGuard, PPP, GRE, IPIP, 6in4).
 * Included by parse.h.
 */
#ifndef XDPCTL_FRAME_H
#define XDPCTL_FRAME_H

#define LINK_ETHERNET 0
#define LINK_NONE     1
#ifndef LINK_LAYER
#define LINK_LAYER LINK_ETHERNET
#endif

#define ETHERTYPE_IPV4	  0x0800
#define ETHERTYPE_IPV6	  0x86dd
#define ETHERTYPE_VLAN	  0x8100 /* IEEE 802.1Q */
#define ETHERTYPE_SERVICE 0x88a8 /* IEEE 802.1ad */
#define ETHERTYPE_QINQ	  0x9100 /* before 802.1ad, still sold */
#define ETHERTYPE_SESSION 0x8864 /* PPPoE (RFC 2516) */
#define PPP_IPV4	  0x0021
#define PPP_IPV6	  0x0057
#define IP_AT_MOST	  63 /* the IP header begins within so many bytes; a mask */
#define TYPE_AT		  12 /* of the EtherType in an Ethernet header */
#define NO_VLAN		  4096

struct ethernet {
	u8 destination[6];
	u8 source[6];
	__be16 type;
};

struct vlan {
	__be16 tag;
	__be16 type;
};

struct session {
	u8 version_type;
	u8 code;
	__be16 number;
	__be16 length; /* of what follows, with the two bytes of its protocol */
};
#define SESSION_HEADER 8 /* with the protocol */

static __always_inline int is_vlan(__be16 type)
{
	return type == network16(ETHERTYPE_VLAN) || type == network16(ETHERTYPE_SERVICE) ||
	       type == network16(ETHERTYPE_QINQ);
}

static __always_inline int is_ip(__be16 type)
{
	return type == network16(ETHERTYPE_IPV4) || type == network16(ETHERTYPE_IPV6);
}

#if LINK_LAYER == LINK_ETHERNET

#define LINK_LENGTH sizeof(struct ethernet)

/*
 * Goes on to what a session of PPPoE carries. A receiver also takes a protocol of one byte, which
 * is odd (RFC 1661 section 6.5). A session's own control protocols stay what they are.
 */
static __always_inline enum reason parse_session(FRAME *ctx, struct packet *packet, u32 zero,
						 __be16 *type)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u8 *protocol = data + (packet->offset & IP_AT_MOST) + sizeof(struct session);
	u32 carried;

	if ((void *)(protocol + 2) > end)
		return REASON_TRUNCATED;
	carried = protocol[0];
	packet->offset = (packet->offset + SESSION_HEADER - (carried & 1)) & IP_AT_MOST;
	if (!(carried & 1))
		carried = carried << 8 | protocol[1];
	if (carried == PPP_IPV4)
		*type = network16(ETHERTYPE_IPV4) + zero;
	else if (carried == PPP_IPV6)
		*type = network16(ETHERTYPE_IPV6) + zero;
	return REASON_NONE;
}

/*
 * Sets packet->offset to where the last tag or the session's header ends, *type to what follows.
 * The verifier does not see that `zero` is 0, and the mask bounds each offset alike. So it explores
 * what follows once, and not for each number of tags.
 */
static __always_inline enum reason parse_link(FRAME *ctx, struct packet *packet, __be16 *type)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethernet *ethernet = data;
	u32 zero = (u64)(end - data) >> 32;

	if ((void *)(ethernet + 1) > end)
		return REASON_TRUNCATED;
	*type = ethernet->type;
	packet->offset = (sizeof(*ethernet) + zero) & IP_AT_MOST;
	if (is_ip(*type))
		return REASON_NONE;
#pragma unroll
	for (int depth = 0; depth < VLAN_DEPTH_MAX; depth++) {
		struct vlan *vlan = data + (packet->offset & IP_AT_MOST);

		if (!is_vlan(*type))
			break;
		if ((void *)(vlan + 1) > end)
			return REASON_TRUNCATED;
		*type = vlan->type;
		packet->offset = (packet->offset + sizeof(*vlan)) & IP_AT_MOST;
	}
	if (is_vlan(*type))
		return REASON_VLAN_DEPTH;
	return *type == network16(ETHERTYPE_SESSION) ? parse_session(ctx, packet, zero, type)
						     : REASON_NONE;
}

/* The number in the outermost tag; NO_VLAN without one. -1 if the frame is too short for both. */
static __always_inline s32 outermost_tag(FRAME *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct vlan *vlan = data + TYPE_AT + sizeof(vlan->type);

	if ((void *)(vlan + 1) > end)
		return -1;
	return is_vlan(*(__be16 *)(data + TYPE_AT)) ? host16(vlan->tag) & (NO_VLAN - 1) : NO_VLAN;
}

#else

#define LINK_LENGTH 0

static __always_inline s32 outermost_tag(FRAME *ctx)
{
	return NO_VLAN;
}

/* The EtherType that an IP header would have; 0 for what is no IP, such as MPLS. */
static __always_inline __be16 type_by_version(u8 first)
{
	if (first >> 4 == 4)
		return network16(ETHERTYPE_IPV4);
	return first >> 4 == 6 ? network16(ETHERTYPE_IPV6) : 0;
}

static __always_inline enum reason parse_link(FRAME *ctx, struct packet *packet, __be16 *type)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 1 > end)
		return REASON_TRUNCATED;
	*type = type_by_version(*(u8 *)data);
	packet->offset = 0;
	return REASON_NONE;
}

#endif
#endif
