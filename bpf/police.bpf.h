/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits what some hosts inside send: each has up to POLICERS policers (RFC 2475), and a packet
 * that exceeds the rate of one that it meets is dropped. All else that the host sends goes out.
 */

#include "gcra.h"

BPF_F_TABLE("hash", struct policed_host, struct policers, policed, POLICED_MAX, BPF_F_NO_PREALLOC);

/* What policers ask of a packet. */
struct leaving_packet {
	struct policed_host host;
	__be32 destination[4];
	u8 mac[6]; /* the source of its frame; zeros where frames have none */
	__be16 source_port;
	__be16 destination_port;
	u8 protocol;
	u8 has_ports;
	u8 refused; /* it cannot be parsed to its end, so that it may have any protocol and port */
	u8 only;    /* of enum police, as bits: those that it is */
	u32 packets;
};

/* Whether the host that sends a packet may have a policer, by control.policing. */
static __always_inline int may_be_policed(struct __sk_buff *ctx, struct control *control)
{
	__be32 from[4] = {}, to[4];
	u32 words;

	if (!read_addresses(ctx, from, to))
		return 0;
	words = from[0] ^ from[1] ^ from[2] ^ from[3];
	return control->policing >> (words * 0x9e3779b1 >> 26) & 1;
}

/* The packets that the kernel or the card makes of this one (segmentation offload). */
static __always_inline u32 packets_of(struct __sk_buff *ctx)
{
	u32 packets = ctx->gso_segs, size = ctx->gso_size;

	if (!packets && size) /* a virtual machine's, which nobody has counted */
		packets = ctx->len / size + 1;
	return packets ? packets : 1;
}

/* By arithmetic, so that the verifier explores one path. */
static __always_inline u32 is_port(__be16 wanted, __be16 port, struct leaving_packet *sent)
{
	u32 same = is_zero(wanted ^ port) & sent->has_ports;

	return is_zero(wanted) | sent->refused | same;
}

static __always_inline u32 goes_to(struct policer *policer, struct leaving_packet *sent)
{
	u32 any = 0, differs = 0;

#pragma unroll
	for (int at = 0; at < 4; at++) {
		any |= policer->destination[at];
		differs |= policer->destination[at] ^ sent->destination[at];
	}
	return is_zero(any) | is_zero(differs);
}

static __always_inline u32 comes_from(struct policer *policer, struct leaving_packet *sent)
{
	u32 any = 0, differs = 0;

#pragma unroll
	for (int at = 0; at < 6; at++) {
		any |= policer->mac[at];
		differs |= policer->mac[at] ^ sent->mac[at];
	}
	return is_zero(any) | is_zero(differs);
}

static __always_inline u32 meets(struct policer *policer, struct leaving_packet *sent)
{
	u32 same = is_zero(policer->protocol ^ sent->protocol) | sent->refused;

	same &= sent->only >> (policer->only & 3) & 1;
	same &= is_port(policer->source_port, sent->source_port, sent);
	same &= is_port(policer->destination_port, sent->destination_port, sent);
	return same & goes_to(policer, sent) & comes_from(policer, sent);
}

/* Whether one of the policers drops the packet, which is counted there. */
static __always_inline int is_beyond(struct policers *policers, struct leaving_packet *sent)
{
	u64 now = tick_ns();

	for (int number = 0; number < POLICERS; number++) {
		struct policer *policer = &policers->of[number];

		if (policer->until_ns <= now || !meets(policer, sent))
			continue;
		if (exceeds_rate(&policer->bucket, now, policer->cost * sent->packets,
				 policer->burst_ns, 1)) {
			__sync_fetch_and_add(&policer->dropped, sent->packets);
			return 1;
		}
	}
	return 0;
}

/* What a packet is, for the policers of its host. */
static __always_inline void describe(struct __sk_buff *ctx, struct control *control,
				     struct packet *packet, struct leaving_packet *sent)
{
	u32 ports = 0, flags, is_new;
	struct transport head = {};
	enum lesson lesson;
	u64 hash;

	sent->protocol = packet->protocol;
	if (packet->protocol & PROTOCOL_NOT_IN_FRAME)
		return;
	lesson = lesson_of(ctx, packet, &ports, &head);
	sent->has_ports = packet->protocol == PROTOCOL_TCP || packet->protocol == PROTOCOL_UDP;
	sent->source_port = ports >> 16;
	sent->destination_port = ports;
	flags = host16(head.offset_flags) & (FLAG_SYN | FLAG_ACK);
	sent->only |= (flags == FLAG_SYN) << POLICE_SYN;
	hash = flow_hash(control->seeds, packet->family, packet->source, packet->destination, ports,
			 packet->protocol & 255);
	is_new = lesson == LESSON_NEW && !knows_flow(hash);
	sent->only |= is_new << POLICE_UNKNOWN;
}

int police(struct __sk_buff *ctx)
{
	struct control *control = controls_values();
	struct policers *policers;
	struct packet packet = {};
	struct leaving_packet sent = {};

	pull_headers(ctx);
	sent.refused = !!parse(ctx, &packet);
	sent.host.family = packet.family;
	__builtin_memcpy(sent.host.address, packet.source, sizeof(packet.source));
	policers = policed.lookup(&sent.host);
	/* a packet that turns round here came from outside, and so did its addresses */
	if (!policers || control->bypass || ctx->ingress_ifindex == ctx->ifindex)
		goto out;
	__builtin_memcpy(sent.destination, packet.destination, sizeof(packet.destination));
	read_mac(ctx, sent.mac);
	sent.only = sent.refused ? ~0 : 1 << POLICE_ALL;
	sent.packets = packets_of(ctx);
	if (!sent.refused)
		describe(ctx, control, &packet, &sent);
	if (is_beyond(policers, &sent))
		return KEPT_IN;
out:
	leaving.call(ctx, LEAVING_LET_OUT);
	return GO_ON;
}
