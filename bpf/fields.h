/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the fields that signatures match from a parsed packet. Accesses no map.
 *
 * Ports exist for TCP and UDP, types and codes for ICMP of the packet's own family, flags for TCP.
 * A later fragment has none of these fields, and neither has a packet that is too short for them.
 */
#ifndef XDPCTL_FIELDS_H
#define XDPCTL_FIELDS_H

#include "parse.h"

#define NO_PORT	      65536
#define NO_ICMP	      256
#define NO_TCP_FLAGS  4096
#define NO_FLOW_LABEL (1 << 20)

#define FLAG_FIN 0x01
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_ACK 0x10

#define IPV4_DONT_FRAGMENT 0x4000
#define DIRECT_MASK	   1023
#define UDP_HEADER	   8
#define TCP_HEADER	   20 /* without options */

/* A TCP header up to its flags; UDP and ICMP use the first 4 bytes. */
struct transport {
	__be16 source_port;
	__be16 destination_port;
	__be32 sequence;
	__be32 acknowledged;
	__be16 offset_flags;
} __attribute__((packed));

#define REPLY_MOST 64 /* bytes of an answer of a module */

/* A search that a module interrupts: it goes on where it was. */
struct halted {
	u64 monitored;
	u64 sample;
	u32 number; /* of the generation */
	u32 slot;
	u32 verdict; /* of the module; 0: none is asked */
	u32 reply_bytes;
	u8 reply[REPLY_MOST];
};

/*
 * Data about one packet, in per-CPU memory. The verifier knows nothing about values that are read
 * back from there, so it explores the following code once and not for each path that leads to it.
 */
struct scratch {
	struct packet packet;
	union side_key side;	 /* looked up in sides4 or sides6 */
	u32 values[FIELDS_MAX];	 /* by field */
	u32 classes[FIELDS_MAX]; /* the class of each value, in the order of the lookups */
	u32 ports[2];		 /* for `port`: the classes of source and destination port */
	u32 summary;		 /* bitmap words in which a signature may match */
	u32 challenges;		 /* the challenges that it meets, as bits */
	/* the slot of the source's rule or set that has spared a known flow; [1] is for explain */
	u32 spared[2]; /* from the connection stage to the signatures */
	u32 before[2]; /* from the signatures to the connection stage, if they drop the packet */
	u32 shaken;    /* of a packet that passes as known: whether it proved that just now */
	u64 found[BITMAP_WORDS]; /* the matching signatures, for the words in `summary` */
	struct halted halted;
	u32 payload_bytes; /* how many of them the packet has */
	u8 payload[PAYLOAD_BYTES + WINDOW_BYTES];
	struct capture capture;
	struct head head;
};

/* Copies 1 to `most` bytes of the frame, `most` being a power of two; negative if it fails. */
static __always_inline long copy(FRAME *ctx, u32 from, void *to, u32 size, u32 most)
{
	if (size > most)
		size = most;
	/* so that the verifier of 6.1 knows the range, whichever register is used */
	asm volatile("" : "+r"(size));
	size = ((size - 1) & (most - 1)) + 1;
	return load_bytes(ctx, from, to, size);
}

/*
 * Parses the packet again, because a tail call does not keep the stack. The barrier forces the
 * fields to be loaded from memory, so the verifier sees unknown scalars and one state, whatever
 * path the parser took.
 */
static __always_inline enum reason parse_again(FRAME *ctx, struct scratch *scratch)
{
	enum reason reason;

	scratch->packet.fragment = 0;
	reason = parse(ctx, &scratch->packet);
	asm volatile("" ::: "memory");
	return reason;
}

static __always_inline void no_transport(u32 *values)
{
	values[FIELD_SOURCE_PORT] = NO_PORT;
	values[FIELD_DESTINATION_PORT] = NO_PORT;
	values[FIELD_ICMP_TYPE] = NO_ICMP;
	values[FIELD_ICMP_CODE] = NO_ICMP;
	values[FIELD_TCP_FLAGS] = NO_TCP_FLAGS;
}

/* 0 if the header is complete. Reads the frame's first buffer directly, which costs no helper. */
static __always_inline int load_transport(FRAME *ctx, u32 offset, struct transport *head, u32 size)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	void *at = data + (offset & DIRECT_MASK);

	if (offset > DIRECT_MASK || at + size > end)
		return load_bytes(ctx, offset, head, size);
	__builtin_memcpy(head, at, size);
	return 0;
}

static __always_inline void read_transport(FRAME *ctx, struct packet *packet, u32 *values)
{
	struct transport head = {};
	u32 icmp = packet->family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;

	no_transport(values);
	if (packet->protocol == PROTOCOL_TCP) {
		if (load_transport(ctx, packet->offset, &head, sizeof(head)) < 0)
			return;
		values[FIELD_TCP_FLAGS] = host16(head.offset_flags) & (NO_TCP_FLAGS - 1);
	} else if (packet->protocol == PROTOCOL_UDP || packet->protocol == icmp) {
		if (load_transport(ctx, packet->offset, &head, 4) < 0)
			return;
	} else {
		return;
	}
	if (packet->protocol == icmp) {
		values[FIELD_ICMP_TYPE] = host16(head.source_port) >> 8;
		values[FIELD_ICMP_CODE] = host16(head.source_port) & 255;
	} else {
		values[FIELD_SOURCE_PORT] = host16(head.source_port);
		values[FIELD_DESTINATION_PORT] = host16(head.destination_port);
	}
}

/* Where the payload of TCP or UDP begins; 0 if the packet has none. */
static __always_inline u32 payload_at(FRAME *ctx, struct packet *packet)
{
	struct transport head = {};
	u32 size;

	if (packet->protocol == PROTOCOL_UDP)
		return packet->offset + UDP_HEADER;
	if (packet->protocol != PROTOCOL_TCP ||
	    load_transport(ctx, packet->offset, &head, sizeof(head)) < 0)
		return 0;
	size = host16(head.offset_flags) >> 12 << 2;
	return size < TCP_HEADER ? 0 : packet->offset + size;
}

/* Copies the beginning of the payload into the scratch memory, without what is behind its end. */
static __always_inline void read_payload(FRAME *ctx, struct scratch *scratch)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *from;
	u32 at = payload_at(ctx, &scratch->packet), bytes = scratch->packet.end - at;

	scratch->payload_bytes = 0;
	if (!at || (s32)bytes <= 0)
		return;
	if (bytes > PAYLOAD_BYTES)
		bytes = PAYLOAD_BYTES;
	from = data + (at & DIRECT_MASK);
	if (at <= DIRECT_MASK && from + PAYLOAD_BYTES <= end)
		__builtin_memcpy(scratch->payload, from, PAYLOAD_BYTES);
	else if (copy(ctx, at, scratch->payload, bytes, PAYLOAD_BYTES) < 0)
		return;
	scratch->payload_bytes = bytes;
}

static __always_inline void put_word(u32 *values, u32 field, __be32 word)
{
	values[field] = host32(word) >> 16;
	values[field + 1] = host32(word) & 0xffff;
}

static __always_inline u32 fragment_bits(u32 offset, u32 more)
{
	if (offset)
		return more ? FRAGMENT_LATER : FRAGMENT_LATER | FRAGMENT_LAST;
	return more ? FRAGMENT_FIRST : 0;
}

static __always_inline void read_ipv4(struct ipv4 *ip, u32 *values)
{
	u32 word = host16(ip->fragment);

	values[FIELD_PACKET_LENGTH] = host16(ip->length);
	values[FIELD_DSCP] = ip->dscp_ecn >> 2;
	values[FIELD_FRAGMENT] = fragment_bits(word & IPV4_OFFSET, word & IPV4_MORE_FRAGMENTS) |
				 (word & IPV4_DONT_FRAGMENT ? FRAGMENT_DONT : 0);
	values[FIELD_FLOW_LABEL] = NO_FLOW_LABEL;
	values[FIELD_TTL] = ip->ttl;
	put_word(values, FIELD_SOURCE, ip->source);
	put_word(values, FIELD_DESTINATION, ip->destination);
}

/* RFC 8956: the length includes the fixed header, and the protocol is that of the upper layer. */
static __always_inline void read_ipv6(struct ipv6 *ip, struct packet *packet, u32 *values)
{
	u32 first = host32(ip->version_class_label), fragment = packet->fragment;
	u32 length = host16(ip->payload_length) + sizeof(*ip);

	values[FIELD_PACKET_LENGTH] = length > 65535 ? 65535 : length;
	values[FIELD_DSCP] = first >> 22 & 63;
	values[FIELD_FRAGMENT] =
	    fragment_bits(fragment & IPV6_OFFSET, fragment & IPV6_MORE_FRAGMENTS);
	values[FIELD_FLOW_LABEL] = first & (NO_FLOW_LABEL - 1);
	values[FIELD_TTL] = ip->hop_limit;
#pragma unroll
	for (int word = 0; word < 4; word++) {
		put_word(values, FIELD_SOURCE + 2 * word, ip->source[word]);
		put_word(values, FIELD_DESTINATION + 2 * word, ip->destination[word]);
	}
}

/* 0, or -1 if the frame is shorter than when it was parsed. */
static __always_inline int read_fields(FRAME *ctx, struct scratch *scratch)
{
	struct packet *packet = &scratch->packet;
	u32 *values = scratch->values;
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	void *ip = data + (packet->ip & IP_AT_MOST);
	s32 tag = outermost_tag(ctx);

	if (tag < 0)
		return -1;
	values[FIELD_PROTOCOL] = packet->protocol & 255;
	values[FIELD_VLAN] = tag;
	if (packet->family == 4) {
		if (ip + sizeof(struct ipv4) > end)
			return -1;
		read_ipv4(ip, values);
	} else {
		if (ip + sizeof(struct ipv6) > end)
			return -1;
		read_ipv6(ip, packet, values);
	}
	read_transport(ctx, packet, values);
	return 0;
}

#endif
