/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parses a frame to a struct packet: what is before the IP header (frame.h), IPv4 with options,
 * IPv6 with extension headers.
 *
 * Every parse_* function returns REASON_NONE to go on, or the reason if the packet is decided.
 * Accesses no map, because bcc rewrites map accesses in the main file only.
 */
#ifndef XDPCTL_PARSE_H
#define XDPCTL_PARSE_H

#include "abi.h"

#ifndef FRAME
#define FRAME struct xdp_md /* the context of the program that parses */
#endif

#define __always_inline inline __attribute__((always_inline))

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define network16(x) ((__be16)__builtin_bswap16(x))
#define network32(x) ((__be32)__builtin_bswap32(x))
#define host64(x)    ((u64)__builtin_bswap64(x))
#else
#define network16(x) ((__be16)(x))
#define network32(x) ((__be32)(x))
#define host64(x)    ((u64)(x))
#endif
#define host16(x) ((u16)network16(x))
#define host32(x) ((u32)network32(x))

#define MMAPABLE (1U << 10) /* of a map: its values can be mapped into memory */

#define PROTOCOL_HOP_BY_HOP   0
#define PROTOCOL_ICMP	      1
#define PROTOCOL_IGMP	      2
#define PROTOCOL_TCP	      6
#define PROTOCOL_UDP	      17
#define PROTOCOL_ROUTING      43
#define PROTOCOL_FRAGMENT     44
#define PROTOCOL_GRE	      47
#define PROTOCOL_ESP	      50
#define PROTOCOL_AH	      51
#define PROTOCOL_ICMPV6	      58
#define PROTOCOL_DESTINATION  60
#define PROTOCOL_OSPF	      89
#define PROTOCOL_VRRP	      112
#define PROTOCOL_MOBILITY     135
#define PROTOCOL_HIP	      139
#define PROTOCOL_SHIM6	      140
#define PROTOCOL_NOT_IN_FRAME 256 /* a flag: later fragment, without the transport header */

#define IPV4_OFFSET	    0x1fff
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV6_OFFSET	    0xfff8
#define IPV6_MORE_FRAGMENTS 1
#define IPV6_RESERVED	    6
#define TCP_TO_FLAGS	    14 /* bytes of a TCP header up to and including its flags */

#define DHCP_SERVER   67
#define DHCP_CLIENT   68
#define DHCPV6_CLIENT 546
#define DHCPV6_SERVER 547

struct ipv4 {
	u8 version_ihl;
	u8 dscp_ecn;
	__be16 length;
	__be16 id;
	__be16 fragment; /* 3 flags, 13 bits of offset in units of 8 bytes */
	u8 ttl;
	u8 protocol;
	__sum16 checksum;
	__be32 source;
	__be32 destination;
};

struct ipv6 {
	__be32 version_class_label;
	__be16 payload_length;
	u8 next_header;
	u8 hop_limit;
	__be32 source[4];
	__be32 destination[4];
};

struct extension {
	u8 next_header;
	u8 length;
	__be16 offset_flags; /* of a fragment header: 13 bits of offset, 2 reserved, M */
};

struct ports {
	__be16 source;
	__be16 destination;
};

struct packet {
	u32 family; /* 4 or 6 */
	u32 ip;	    /* offset of the IP header */
	u32 end;    /* offset of the packet's end, according to its IP header */
	u32 offset; /* offset of the next header to read */
	u32 protocol;
	u32 fragmented; /* IPv6: it has a fragment header, also of an atomic fragment */
	u32 fragment;	/* its offset in bytes, plus 1 if more follow; 0 if not fragmented */
	u32 hop_limit;
	__be32 source[4]; /* IPv4 uses the first word */
	__be32 destination[4];
};

#ifndef LOAD_BYTES
#define LOAD_BYTES 189 /* Linux 5.18 */
#endif
/* Reads across the fragments of a jumbo frame, unlike data..data_end. */
static long (*load_bytes)(FRAME *ctx, u32 offset, void *to, u32 length) = (void *)LOAD_BYTES;

#include "frame.h"

static __always_inline int is_extension(u32 protocol)
{
	return protocol == PROTOCOL_HOP_BY_HOP || protocol == PROTOCOL_ROUTING ||
	       protocol == PROTOCOL_FRAGMENT || protocol == PROTOCOL_AH ||
	       protocol == PROTOCOL_DESTINATION || protocol == PROTOCOL_MOBILITY ||
	       protocol == PROTOCOL_HIP || protocol == PROTOCOL_SHIM6;
}

/*
 * A first fragment that ends before the TCP flags, or a later one that begins there, would let a
 * connection evade signatures on ports or flags (RFC 1858, RFC 3128).
 */
static __always_inline int is_tiny_fragment(struct packet *packet)
{
	u32 offset = packet->fragment & IPV6_OFFSET;

	if ((packet->protocol & 255) != PROTOCOL_TCP || !packet->fragment)
		return 0;
	return offset == 8 || (!offset && (s32)(packet->end - packet->offset) < TCP_TO_FLAGS);
}

static __always_inline enum reason parse_ipv4(FRAME *ctx, struct packet *packet)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv4 *ip = data + (packet->offset & IP_AT_MOST);
	u32 header;

	if ((void *)(ip + 1) > end)
		return REASON_TRUNCATED;
	header = (ip->version_ihl & 0x0f) * 4;
	if (ip->version_ihl >> 4 != 4 || header < sizeof(*ip))
		return REASON_MALFORMED;
	if ((void *)ip + header > end)
		return REASON_TRUNCATED;
	packet->family = 4;
	packet->ip = packet->offset;
	packet->end = packet->offset + host16(ip->length);
	packet->offset += header;
	packet->protocol = ip->protocol;
	packet->hop_limit = ip->ttl;
	packet->fragment = (host16(ip->fragment) & IPV4_OFFSET) << 3 |
			   !!(ip->fragment & network16(IPV4_MORE_FRAGMENTS));
	if (ip->fragment & network16(IPV4_OFFSET))
		packet->protocol |= PROTOCOL_NOT_IN_FRAME;
	packet->source[0] = ip->source;
	packet->destination[0] = ip->destination;
	return is_tiny_fragment(packet) ? REASON_TINY_FRAGMENT : REASON_NONE;
}

/* RFC 8200 section 4. Lengths are in 8-byte units after the first 8 bytes; in AH, 4-byte units. */
static __always_inline enum reason parse_extensions(FRAME *ctx, struct packet *packet)
{
	struct extension extension;

	for (int depth = 0; depth < EXTENSION_DEPTH_MAX; depth++) {
		u32 kind = packet->protocol;

		if (!is_extension(kind))
			return REASON_NONE;
		if (load_bytes(ctx, packet->offset, &extension, sizeof(extension)) < 0)
			return REASON_TRUNCATED;
		packet->protocol = extension.next_header;
		if (kind == PROTOCOL_FRAGMENT) {
			packet->offset += 8;
			packet->fragmented = 1;
			packet->fragment = host16(extension.offset_flags) & ~IPV6_RESERVED;
			if (extension.offset_flags & network16(IPV6_OFFSET)) {
				packet->protocol |= PROTOCOL_NOT_IN_FRAME;
				return REASON_NONE;
			}
		} else if (kind == PROTOCOL_AH) {
			packet->offset += (extension.length + 2) * 4;
		} else {
			packet->offset += (extension.length + 1) * 8;
		}
	}
	return is_extension(packet->protocol) ? REASON_EXTENSION_DEPTH : REASON_NONE;
}

static __always_inline enum reason parse_ipv6(FRAME *ctx, struct packet *packet)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv6 *ip = data + (packet->offset & IP_AT_MOST);
	enum reason reason;

	if ((void *)(ip + 1) > end)
		return REASON_TRUNCATED;
	if (*(u8 *)ip >> 4 != 6)
		return REASON_MALFORMED;
	packet->family = 6;
	packet->ip = packet->offset;
	packet->offset += sizeof(*ip);
	packet->end = packet->offset + host16(ip->payload_length);
	packet->protocol = ip->next_header;
	packet->hop_limit = ip->hop_limit;
#pragma unroll
	for (int word = 0; word < 4; word++) {
		packet->source[word] = ip->source[word];
		packet->destination[word] = ip->destination[word];
	}
	reason = parse_extensions(ctx, packet);
	if (!reason && is_tiny_fragment(packet))
		return REASON_TINY_FRAGMENT;
	return reason;
}

static __always_inline u64 first_buffer(FRAME *ctx)
{
	u64 bytes = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

	asm volatile("" : "+r"(bytes)); /* computed here: live pointers would multiply the paths */
	return bytes;
}

/* Where what the link carries begins, and its type; NULL if the frame ends before. */
static __always_inline void *behind_link(FRAME *ctx, __be16 *type)
{
	void *data = (void *)(long)ctx->data;
	struct packet packet;

	return parse_link(ctx, &packet, type) ? NULL : data + (packet.offset & IP_AT_MOST);
}

static __always_inline enum reason parse(FRAME *ctx, struct packet *packet)
{
	__be16 type;
	enum reason reason = parse_link(ctx, packet, &type);

	if (reason)
		return reason;
	if (type == network16(ETHERTYPE_IPV4))
		return parse_ipv4(ctx, packet);
	return type == network16(ETHERTYPE_IPV6) ? parse_ipv6(ctx, packet) : REASON_LINK;
}

#endif
