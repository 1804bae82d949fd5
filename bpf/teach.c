// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What goes out of an outside interface, at TC egress: it teaches the flow memory. It is dropped if
 * its source is forged (validate.bpf.h), if a set lists its destination for that (outgoing.bpf.h),
 * and if it exceeds a limit of the host inside that sends it (police.bpf.h); else it is left as it
 * is, and other programs there get it.
 *
 * Only what an outsider cannot cause teaches. A host answers forged packets with SYN-ACK, RST and
 * ICMP errors, and a service answers them from its own port. A SYN-ACK is noted, since whoever
 * acknowledges it is really there (known.bpf.h), and so is a QUIC server's connection ID.
 */
#define FRAME	   struct __sk_buff
#define LOAD_BYTES 26 /* Linux 4.5 */

#include "link.h"
#include "fields.h"
#include "values.h"
#include "cells.h"
#include "memory.h"
#include "services.h"
#include "thin.h"

#define GO_ON	      (-1) /* TC_ACT_UNSPEC, and TCX_NEXT */
#define KEPT_IN	      2	   /* TC_ACT_SHOT, and TCX_DROP */
#define HEADERS_BYTES 78   /* Ethernet, four tags, PPPoE, IPv6: what is parsed without a helper */
#define NTP	      123
#define NTP_MODE      7
#define NTP_SYMMETRIC 1
#define NTP_CLIENT    3
#define DNS_FLAGS_AT  10 /* from the UDP header on */
#define DNS_RESPONSE  0x80
#define IPSEC_NAT     4500
#define OPENVPN	      1194
#define OPENVPN_DATA1 6 /* opcodes: P_DATA_V1, P_DATA_V2 */
#define OPENVPN_DATA2 9
#define SCTP_HEADER   12
#define PORTS_OR_ECHO 8 /* bytes of a UDP or ICMP header */

enum lesson {
	LESSON_NONE,
	LESSON_KNOWN, /* the flow stays known, if it is */
	LESSON_NEW,
	LESSON_SYN_ACK, /* whoever acknowledges it has seen it */
	LESSON_ACK,	/* proves something if the inside acknowledges more than before */
};

#include "table.bpf.h"

BPF_F_TABLE("array", u32, u64, buckets, BUCKETS_MAX, MMAPABLE);
BPF_PROG_ARRAY(leaving, LEAVING_MAX);

/* Helper 39. */
static long (*pull_data)(struct __sk_buff *ctx, u32 length) = (void *)39;

#include "tick.bpf.h"

static __always_inline u64 rules_ns(void)
{
	return tick_ns();
}

#include "sides.bpf.h"
#include "outgoing.bpf.h"
#include "observe_out.bpf.h"
#include "flows.bpf.h"
#include "answered.bpf.h"
#include "quic.bpf.h"
#include "served.bpf.h"

/*
 * From the port of a service, mostly answers come. Exceptions are a query (RFC 1035) and a request
 * for the time (RFC 5905), which open a conversation, and packets that need a key which both ends
 * have: ESP in UDP (RFC 3948), and OpenVPN's data.
 */
static __always_inline enum lesson from_service(struct __sk_buff *ctx, struct packet *packet,
						u32 port)
{
	u32 marker = 0;
	u8 octet = 0;

	if (port == PORT_DNS &&
	    load_bytes(ctx, packet->offset + DNS_FLAGS_AT, &octet, sizeof(octet)) == 0)
		return octet & DNS_RESPONSE ? LESSON_KNOWN : LESSON_NEW;
	if (port == NTP && load_bytes(ctx, packet->offset + UDP_HEADER, &octet, sizeof(octet)) == 0)
		return (octet & NTP_MODE) == NTP_CLIENT || (octet & NTP_MODE) == NTP_SYMMETRIC
			   ? LESSON_NEW
			   : LESSON_KNOWN;
	if (port == OPENVPN &&
	    load_bytes(ctx, packet->offset + UDP_HEADER, &octet, sizeof(octet)) == 0)
		return octet >> 3 == OPENVPN_DATA1 || octet >> 3 == OPENVPN_DATA2 ? LESSON_NEW
										  : LESSON_KNOWN;
	if (port == IPSEC_NAT &&
	    load_bytes(ctx, packet->offset + UDP_HEADER, &marker, sizeof(marker)) == 0 && marker)
		return LESSON_NEW;
	return LESSON_KNOWN;
}

/*
 * A host answers forged SYNs with an ACK, too, if they come for a handshake that has begun (RFC
 * 9293 section 3.10.7.4). So an ACK without data opens nothing by itself.
 */
static __always_inline enum lesson from_tcp(struct packet *packet, u32 offset_flags)
{
	u32 flags = offset_flags & (FLAG_SYN | FLAG_RST | FLAG_ACK);
	s32 data = packet->end - packet->offset - (offset_flags >> 12) * 4;

	if (flags == FLAG_SYN)
		return LESSON_NEW;
	if (flags == (FLAG_SYN | FLAG_ACK))
		return LESSON_SYN_ACK;
	if (flags != FLAG_ACK)
		return LESSON_NONE;
	return data > 0 ? LESSON_NEW : LESSON_ACK;
}

/*
 * All chunks but these are sent only by a host that opens an SCTP association, or has one: a host
 * answers forged packets with an INIT ACK, an ABORT, an ERROR or a SHUTDOWN COMPLETE (RFC 9260
 * section 8.4).
 */
static __always_inline enum lesson from_sctp(struct __sk_buff *ctx, struct packet *packet)
{
	u8 chunk = 0;

	if (load_bytes(ctx, packet->offset + SCTP_HEADER, &chunk, sizeof(chunk)) < 0)
		return LESSON_NONE;
	return chunk == 2 || chunk == 6 || chunk == 9 || chunk == 14 ? LESSON_NONE : LESSON_NEW;
}

/* What a packet that goes out teaches; *ports as in flow_hash(). */
static __always_inline enum lesson lesson_of(struct __sk_buff *ctx, struct packet *packet,
					     u32 *ports, struct transport *told)
{
	struct transport head = {};
	u32 protocol = packet->protocol, tcp = protocol == PROTOCOL_TCP;

	if (is_portless(packet))
		return protocol == SCTP ? from_sctp(ctx, packet) : LESSON_NEW;
	if (!tcp && protocol != PROTOCOL_UDP &&
	    protocol != (packet->family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6))
		return LESSON_NONE;
	if (tcp ? load_transport(ctx, packet->offset, &head, sizeof(head)) < 0
		: load_transport(ctx, packet->offset, &head, PORTS_OR_ECHO) < 0)
		return LESSON_NONE;
	*ports = (u32)head.source_port << 16 | head.destination_port;
	if (tcp) {
		*told = head;
		return from_tcp(packet, host16(head.offset_flags));
	}
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

/*
 * Whether the inside acknowledges more than before, so that it accepts what it gets. After a
 * SYN-ACK, which forged SYNs cause, the first ACK only begins the count.
 */
static __always_inline int accepts(u64 hash, struct transport *head)
{
	u32 number = host32(head->acknowledged), kind = 0;
	u64 *cell = proof_of(hash), held;

	if (!cell)
		return 0;
	held = *(volatile u64 *)cell;
	if (is_proof_of(held, hash)) {
		kind = held >> 32 & (SHAKE | SHAKEN);
		if (kind != SHAKE && (s32)(number - (u32)held) > 0)
			return 1;
	}
	*(volatile u64 *)cell = proof(hash, kind == SHAKE ? SHAKEN : kind, number);
	return 0;
}

/* Whether a packet that goes out makes an unknown flow known. */
static __always_inline int opens(enum lesson lesson, u64 hash, struct transport *head)
{
	if (lesson == LESSON_ACK)
		return !knows_flow(hash) && accepts(hash, head);
	return lesson == LESSON_NEW;
}

/*
 * Counts the answers of a UDP service inside, which show whether it copes with the questions.
 * Several packets in a row to one client are one answer. Of QUIC only packets of a handshake count.
 */
static __always_inline void count_answer(struct __sk_buff *ctx, struct control *control,
					 struct packet *packet, u32 ports, u64 flow)
{
	struct served *cell;
	u8 octet = 0;

	if (ports >> 16 == network16(PORT_HTTPS)) {
		if (load_bytes(ctx, packet->offset + UDP_HEADER, &octet, sizeof(octet)) < 0 ||
		    !(octet & QUIC_LONG))
			return;
		note_server_id(ctx, packet, flow);
	}
	cell = service_of(control->seeds, packet->family, packet->source, ports, PROTOCOL_UDP);
	if (!cell)
		return;
	if (*(volatile u64 *)&cell->last != flow)
		__sync_fetch_and_add(&cell->count, 1);
	*(volatile u64 *)&cell->last = flow;
}

/* Counts how long a client has waited for this packet. Returns whether one has. */
static __always_inline int count_wait(struct control *control, struct packet *packet, u32 ports,
				      u64 flow, enum answer answer)
{
	struct served *cell;
	u32 wait;

	if (!came(flow, answer, &wait))
		return 0;
	cell = service_of(control->seeds, packet->family, packet->source, ports, PROTOCOL_TCP);
	asm volatile("" : "+r"(wait)); /* so that the bound is checked where the verifier sees it */
	if (cell && wait < WAITS)
		__sync_fetch_and_add(
		    answer == ANSWER_DATA ? &cell->data[wait] : &cell->syn_acks[wait], 1);
	return 1;
}

/*
 * Counts a connection that a service inside takes up: it sends data, or accepts some. That may be a
 * flow that was unknown until now, or one that is known by the ACK of the handshake, whose first
 * data is awaited.
 */
static __always_inline void count_taken_up(struct control *control, struct packet *packet,
					   u32 ports, u64 flow, int opens, int unknown)
{
	struct served *cell;

	if (!opens)
		return;
	unknown |= count_wait(control, packet, ports, flow, ANSWER_DATA);
	if (!unknown || !takes_up(flow))
		return;
	cell = service_of(control->seeds, packet->family, packet->source, ports, PROTOCOL_TCP);
	if (cell)
		__sync_fetch_and_add(&cell->count, 1);
}

/*
 * Data over TCP goes to a client that has completed a handshake. A challenged resolver comes by TCP
 * as it was told to (RFC 7766, stages/queries.bpf.h), and a browser as QUIC did not answer it.
 */
static __always_inline void prove_by_tcp(struct control *control, struct packet *packet,
					 struct transport *head, u32 ports)
{
	u32 flags = host16(head->offset_flags) & (FLAG_SYN | FLAG_RST | FLAG_ACK);
	enum proof_for what = proved_by_tcp(host16(ports >> 16));

	if (!(control->challenging & 1 << ACTION_CHALLENGE_UDP) || flags != FLAG_ACK ||
	    packet->protocol != PROTOCOL_TCP || what == FOR_NOTHING)
		return;
	remember_source(control, packet->family, packet->destination, what);
}

static __always_inline void pull_headers(struct __sk_buff *ctx)
{
	if (ctx->data_end - ctx->data < HEADERS_BYTES && ctx->data_end - ctx->data < ctx->len)
		pull_data(ctx, ctx->len < HEADERS_BYTES ? ctx->len : HEADERS_BYTES);
}

/* Whether the packet begins a flow that is not known. */
static __always_inline enum out_class learn(struct __sk_buff *ctx, struct control *control)
{
	u32 ports = 0;
	struct transport head = {};
	u64 *cell;
	struct packet packet = {};
	enum lesson lesson;
	int opening, unknown;
	u64 hash;

	pull_headers(ctx);
	if (parse(ctx, &packet))
		return OUT_GOES_ON;
	lesson = lesson_of(ctx, &packet, &ports, &head);
	if (lesson == LESSON_NONE)
		return OUT_GOES_ON;
	hash = flow_hash(control->seeds, packet.family, packet.source, packet.destination, ports,
			 packet.protocol & 255);
	if (lesson == LESSON_KNOWN)
		count_answer(ctx, control, &packet, ports, hash);
	if (lesson == LESSON_SYN_ACK) {
		cell = proof_of(hash);
		if (cell)
			*(volatile u64 *)cell = proof(hash, SHAKE, host32(head.sequence) + 1);
		count_wait(control, &packet, ports, hash, ANSWER_SYN_ACK);
		return OUT_GOES_ON;
	}
	if (lesson == LESSON_NEW)
		prove_by_tcp(control, &packet, &head, ports);
	opening = opens(lesson, hash, &head);
	unknown = learn_flow(control->seeds, packet.family, packet.source, hash, opening);
	if (packet.protocol == PROTOCOL_TCP)
		count_taken_up(control, &packet, ports, hash, opening, unknown);
	return opening && unknown ? OUT_BEGINS : OUT_GOES_ON;
}

static __always_inline int learn_and_observe(struct __sk_buff *ctx)
{
	struct control *control = controls_values();

	/* a packet that turns round here came from outside, and so did its addresses */
	if (ctx->ingress_ifindex != ctx->ifindex)
		observe_some(ctx, control, learn(ctx, control));
	return GO_ON;
}

#include "police.bpf.h"

/* What no set keeps in meets the policers of its host, if it has any. */
static __always_inline void meet_policers(struct __sk_buff *ctx, struct control *control)
{
	if (!control->policing)
		return;
	pull_headers(ctx);
	if (may_be_policed(ctx, control))
		leaving.call(ctx, LEAVING_POLICE);
}

static __always_inline int police_next(struct __sk_buff *ctx)
{
	meet_policers(ctx, controls_values());
	leaving.call(ctx, LEAVING_LET_OUT);
	return GO_ON;
}

/* The program that is attached. Where none of this is asked for, it asks no table. */
int teach(struct __sk_buff *ctx)
{
	struct control *control = controls_values();

	if (control->validating)
		leaving.call(ctx, LEAVING_VALIDATE);
	if (control->outgoing)
		leaving.call(ctx, LEAVING_LOOK_UP);
	meet_policers(ctx, control);
	return learn_and_observe(ctx);
}

#include "validate.bpf.h"

/*
 * The programs that it calls. They are programs of their own, because the verifier would explore
 * each for every end of the one before.
 */
int outgoing(struct __sk_buff *ctx)
{
	struct control *control = controls_values();
	u32 zero = 0;
	struct search *search = searches.lookup(&zero);

	if (!search || control->bypass)
		return police_next(ctx);
	pull_headers(ctx);
	judge(ctx, control, search);
	if (search->sets_met)
		leaving.call(ctx, LEAVING_TELL);
	return search->kept_in ? KEPT_IN : police_next(ctx);
}

/*
 * Counts who sends to a set, except what an outsider can cause: answers, and packets that turn
 * round here.
 */
int tell(struct __sk_buff *ctx)
{
	u32 ports = 0, zero = 0;
	struct transport head = {};
	struct packet packet;
	struct search *search = searches.lookup(&zero);

	if (!search)
		return GO_ON;
	if (ctx->ingress_ifindex != ctx->ifindex && !parse(ctx, &packet) &&
	    lesson_of(ctx, &packet, &ports, &head) == LESSON_NEW)
		count_met(ctx, search, 1);
	return search->kept_in ? KEPT_IN : police_next(ctx);
}

int let_out(struct __sk_buff *ctx)
{
	return learn_and_observe(ctx);
}
