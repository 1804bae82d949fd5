// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Teaches the flow memory what goes out of an outside interface, at TC egress. It changes no packet
 * and keeps none: it always returns TC_ACT_UNSPEC, so that other programs there go on.
 *
 * Only what an outsider cannot cause teaches. A host answers forged packets with SYN-ACK, RST and
 * ICMP errors, and a service answers them from its own port.
 */
#define FRAME	   struct __sk_buff
#define LOAD_BYTES 26 /* Linux 4.5 */

#include "fields.h"
#include "memory.h"
#include "services.h"

#define GO_ON	      (-1) /* TC_ACT_UNSPEC, and TCX_NEXT */
#define HEADERS_BYTES 62   /* Ethernet, two tags, IPv6: what is parsed without a helper */
#define NTP	      123
#define NTP_MODE      7
#define NTP_SYMMETRIC 1
#define NTP_CLIENT    3
#define DNS_PORT      53
#define DNS_FLAGS_AT  10 /* from the UDP header on */
#define DNS_RESPONSE  0x80
#define IPSEC_NAT     4500
#define UDP_HEADER    8
#define PORTS_OR_ECHO 8 /* bytes of a UDP or ICMP header */

enum lesson {
	LESSON_NONE,
	LESSON_KNOWN, /* goes on being known, if it is */
	LESSON_NEW,
};

BPF_F_TABLE("array", u32, struct control, controls, 1, MMAPABLE);

/* Helpers 39 and 160. */
static long (*pull_data)(struct __sk_buff *ctx, u32 length) = (void *)39;
static u64 (*coarse_ns)(void) = (void *)160;

static __always_inline u64 rules_ns(void)
{
	return coarse_ns();
}

#include "flows.bpf.h"

/*
 * From the port of a service, mostly answers come. What only somebody who opens a conversation
 * sends is a query (RFC 1035), a request for the time (RFC 5905), and ESP in UDP, for which there
 * is a key already (RFC 3948).
 */
static __always_inline enum lesson from_service(struct __sk_buff *ctx, struct packet *packet,
						u32 port)
{
	u32 marker = 0;
	u8 octet = 0;

	if (port == DNS_PORT &&
	    load_bytes(ctx, packet->offset + DNS_FLAGS_AT, &octet, sizeof(octet)) == 0)
		return octet & DNS_RESPONSE ? LESSON_KNOWN : LESSON_NEW;
	if (port == NTP && load_bytes(ctx, packet->offset + UDP_HEADER, &octet, sizeof(octet)) == 0)
		return (octet & NTP_MODE) == NTP_CLIENT || (octet & NTP_MODE) == NTP_SYMMETRIC
			   ? LESSON_NEW
			   : LESSON_KNOWN;
	if (port == IPSEC_NAT &&
	    load_bytes(ctx, packet->offset + UDP_HEADER, &marker, sizeof(marker)) == 0 && marker)
		return LESSON_NEW;
	return LESSON_KNOWN;
}

/*
 * A host answers forged SYNs with an ACK, too, if they come for a handshake that has begun (RFC
 * 9293 section 3.10.7.4). So an ACK without data opens nothing.
 */
static __always_inline enum lesson from_tcp(struct packet *packet, u32 offset_flags)
{
	u32 flags = offset_flags & (FLAG_SYN | FLAG_RST | FLAG_ACK);
	s32 data = packet->end - packet->offset - (offset_flags >> 12) * 4;

	if (flags == FLAG_SYN)
		return LESSON_NEW;
	if (flags != FLAG_ACK)
		return LESSON_NONE;
	return data > 0 ? LESSON_NEW : LESSON_KNOWN;
}

/* What a packet that goes out teaches; *ports as in flow_hash(). */
static __always_inline enum lesson lesson_of(struct __sk_buff *ctx, struct packet *packet,
					     u32 *ports)
{
	struct transport head = {};
	u32 protocol = packet->protocol, tcp = protocol == PROTOCOL_TCP;

	if (!tcp && protocol != PROTOCOL_UDP &&
	    protocol != (packet->family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6))
		return LESSON_NONE;
	if (tcp ? load_transport(ctx, packet->offset, &head, sizeof(head)) < 0
		: load_transport(ctx, packet->offset, &head, PORTS_OR_ECHO) < 0)
		return LESSON_NONE;
	*ports = (u32)head.source_port << 16 | head.destination_port;
	if (tcp)
		return from_tcp(packet, host16(head.offset_flags));
	if (protocol == PROTOCOL_UDP) {
		if (is_service(host16(head.source_port)))
			return from_service(ctx, packet, host16(head.source_port));
		return LESSON_NEW;
	}
	*ports = (u32)network16(host32(head.sequence) >> 16) << 16; /* the identifier of an echo */
	return host16(head.source_port) >> 8 == (packet->family == 4 ? ICMP_ECHO : ICMPV6_ECHO)
		   ? LESSON_NEW
		   : LESSON_NONE;
}

int teach(struct __sk_buff *ctx)
{
	u32 zero = 0, ports = 0;
	struct control *control = controls.lookup(&zero);
	struct packet packet = {};
	enum lesson lesson;
	u64 hash;

	/* what turns round here has come from outside, and so have its addresses */
	if (!control || ctx->ingress_ifindex == ctx->ifindex)
		return GO_ON;
	if (ctx->data_end - ctx->data < HEADERS_BYTES && ctx->data_end - ctx->data < ctx->len)
		pull_data(ctx, ctx->len < HEADERS_BYTES ? ctx->len : HEADERS_BYTES);
	if (parse(ctx, &packet))
		return GO_ON;
	lesson = lesson_of(ctx, &packet, &ports);
	if (lesson == LESSON_NONE)
		return GO_ON;
	hash = flow_hash(control->seeds, packet.family, packet.source, packet.destination, ports,
			 packet.protocol);
	learn_flow(control->seeds, packet.family, packet.source, hash, lesson == LESSON_NEW);
	return GO_ON;
}
