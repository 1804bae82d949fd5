// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The filter. First, packets that keep the link working pass. Then the most specific prefix that
 * covers the source decides, and then the first signature that matches. Every packet is counted
 * once, under a reason.
 *
 * `xdpctl` or `outside` is attached to an interface. Signatures and connections are checked by
 * programs that it tail-calls, which cost nothing if there are none. `explain` and its stages share
 * the maps and are run only by BPF_PROG_TEST_RUN. They count nothing and return no valid XDP
 * action, so an unprivileged process can have them without being able to inject frames into the
 * stack.
 */
#include "parse.h"
#include "link.h"
#include "cells.h"
#include "fields.h"
#include "established.h"
#include "memory.h"
#include "services.h"
#include "thin.h"
#include "values.h"

#define SPREAD 0x9e3779b97f4a7c15 /* 2^64 by the golden ratio */

#include "table.bpf.h"
#include "maps.bpf.h"

/* Helper 188, Linux 5.18: the length of the whole frame, with the fragments of a jumbo frame. */
static u64 (*frame_length)(struct xdp_md *ctx) = (void *)188;

#include "tick.bpf.h"
#include "clock.bpf.h"
#include "slot.bpf.h"
#include "sides.bpf.h"
#include "side.bpf.h"
#include "flows.bpf.h"
#include "served.bpf.h"
#include "quic.bpf.h"
#include "known.bpf.h"
#include "answered.bpf.h"
#include "challenge.bpf.h"
#include "signatures.bpf.h"
#include "exempt.bpf.h"
#include "trial.bpf.h"
#include "source.bpf.h"
#include "stages/monitor.bpf.h"
#include "behind.bpf.h"

/* The initial state of every stage. */
static __always_inline struct search begin(struct xdp_md *ctx, struct explanation *explanation)
{
	u64 bytes = first_buffer(ctx), opaque_zero = bytes >> 32;
	struct search search = {
	    .bytes = bytes,
	    .opaque_zero = opaque_zero,
	    .sets_met = opaque_zero,
	    .sample = opaque_zero,
	    .monitored = opaque_zero,
	    .explanation = explanation,
	    .control = controls_values(),
	};

	return search;
}

/*
 * If a frame has several buffers, its IP header shows that it is longer than the first one. Only
 * then is the length read by a helper, which costs half as much as the look-up of a source.
 */
static __always_inline void measure(struct xdp_md *ctx, struct search *search, u32 end)
{
	u64 missing = search->bytes - end;

	if (search->explanation)
		return;
	asm volatile("" : "+r"(missing)); /* otherwise the verifier tracks two ranges of bytes */
	if ((s64)missing < 0)
		search->bytes = frame_length(ctx);
}

/* The decision by the packet's source. */
static __always_inline u32 eval_source(struct xdp_md *ctx, struct search *search,
				       struct packet *packet)
{
	u32 decided;

	search->family = packet->family;
	__builtin_memcpy(search->source, packet->source,
			 packet->family == 4 ? sizeof(__be32) : sizeof(search->source));
	if (search->outside && is_unset(packet))
		return REASON_SPOOFED;
	decided = packet->family == 4 ? source_ipv4(ctx, search, packet)
				      : source_ipv6(ctx, search, packet);
	/* on an outside interface, signatures and limits apply to protected sources, too */
	if (decided == (REASON_ACCEPTED | SLOT_NEIGHBOUR << REASON_SLOT_SHIFT) &&
	    search->neighbourly == OF_FLEET)
		return REASON_PROTECTED | SLOT_NEIGHBOUR << REASON_SLOT_SHIFT;
	if (search->outside &&
	    ((decided == (REASON_ACCEPTED | SLOT_PROTECTED << REASON_SLOT_SHIFT)) ||
	     decided == (REASON_ACCEPTED | SLOT_NEIGHBOUR << REASON_SLOT_SHIFT)))
		return REASON_NO_RULE;
	return decided;
}

static __always_inline u32 by_source(struct xdp_md *ctx, struct search *search,
				     struct packet *packet)
{
	u32 reason = eval_source(ctx, search, packet);

	if (reason == REASON_NO_RULE && search->control->armed) {
		if (search->sample)
			sample(search);
		search->sample = search->opaque_zero;
		/* the monitor stage comes first, and then calls the signatures stage */
		if (search->monitored && !search->explanation)
			return REASON_NONE;
		stages.call(ctx, STAGE_SIGNATURES);
	}
	return reason;
}

static __always_inline u32 by_signature(struct xdp_md *ctx, struct search *search)
{
	u32 zero = 0;
	struct scratch *scratch = scratches.lookup(&zero);
	u32 spared, decided, verdict;
	enum reason reason;

	if (!scratch)
		return REASON_FAULT;
	verdict = search->explanation ? 0 : scratch->halted.verdict;
	if (verdict) { /* a module was asked, so all this is done */
		scratch->halted.verdict = 0;
		spared = scratch->before[0];
	} else {
		spared = scratch->spared[!!search->explanation];
		scratch->spared[!!search->explanation] = 0;
		scratch->before[!!search->explanation] = spared;
		reason = parse_again(ctx, scratch);
		if (reason)
			return reason;
	}
	measure(ctx, search, scratch->packet.end);
	search->family = scratch->packet.family;
	__builtin_memcpy(search->source, scratch->packet.source, sizeof(search->source));
	if (scratch->packet.fragment == 1 && !verdict && !search->explanation && asks_flows() &&
	    is_known(ctx, search->control, &scratch->packet, 0))
		expect_fragments(ctx, search->control, &scratch->packet);
	decided = signature(ctx, search, scratch, verdict);
	return decided == REASON_NO_RULE && spared ? REASON_KNOWN | spared << REASON_SLOT_SHIFT
						   : decided;
}

#include "stages/connection.bpf.h"

/* Adds a packet to the statistics of the monitored rules that it met, and continues. */
static __always_inline u32 record_monitored(struct xdp_md *ctx, struct search *search)
{
	u32 zero = 0, slot, connected, known;
	struct scratch *scratch = scratches.lookup(&zero);
	struct pending *asked = pending.lookup(&zero);
	u64 monitored;

	if (!asked || !scratch || (!asked->parsed && parse_again(ctx, scratch)))
		return REASON_FAULT;
	measure(ctx, search, scratch->packet.end);
	if (read_fields(ctx, scratch))
		return REASON_FAULT;
	connected = established(ctx, &scratch->packet);
	known = connected || (asks_flows() && is_known(ctx, search->control, &scratch->packet, 0));
	monitored = asked->monitored;
#pragma unroll
	for (int met = 0; met < MONITORED_A_PACKET; met++) {
		slot = monitored & ((1 << MONITORED_BITS) - 1);
		record_statistics(search, scratch, slot, asked->decided & (REASON_SPARE - 1),
				  connected, known);
		monitored >>= MONITORED_BITS;
	}
	if (asked->decided != REASON_NONE)
		return asked->decided;
	stages.call(ctx, STAGE_SIGNATURES);
	return REASON_NO_RULE; /* the tail call failed: the signatures were removed meanwhile */
}

#include "exit.bpf.h"

/* Decides a packet of a family, which is a constant here. */
static __always_inline int filter_family(struct xdp_md *ctx, struct search *search,
					 struct packet *packet, u32 family)
{
	enum reason reason;
	u32 decided;

	reason = family == 4 ? parse_ipv4(ctx, packet) : parse_ipv6(ctx, packet);
	if (reason)
		return leave_early(ctx, search, reason);
	reason = family == 4 ? link_ipv4(ctx, packet) : link_ipv6(ctx, packet);
	if (reason)
		return leave_early(ctx, search, reason);
	measure(ctx, search, packet->end);
	decided = by_source(ctx, search, packet);
	return leave(ctx, search, decided, 0);
}

/*
 * Decides a packet. Each family has an exit of its own: if their ways met, clang would store on
 * both what differs between them, which cost every packet 4 ns.
 */
static __always_inline int filter(struct xdp_md *ctx, struct search *search)
{
	struct packet packet = {};
	enum reason reason;
	__be16 type;

	if (search->control->bypass)
		return leave_early(ctx, search, REASON_BYPASS);
	reason = parse_link(ctx, &packet, &type);
	if (reason)
		return leave_early(ctx, search, reason);
	if (type == network16(ETHERTYPE_IPV4))
		return filter_family(ctx, search, &packet, 4);
	if (type == network16(ETHERTYPE_IPV6))
		return filter_family(ctx, search, &packet, 6);
	return leave_early(ctx, search, REASON_LINK);
}

/* A QUIC packet that passes may prove that its flow is known, or be needed for a later proof. */
static __always_inline int heard(struct xdp_md *ctx, int verdict)
{
	if (QUIC_PROOFS && verdict == XDP_PASS && may_be_quic(ctx) && asking() != ASKS_NOT)
		stages.call(ctx, STAGE_QUIC);
	return pass_on(ctx, verdict);
}

int xdpctl(struct xdp_md *ctx)
{
	struct search search = begin(ctx, NULL);

	return pass_on(ctx, filter(ctx, &search));
}

/* The same for an outside interface, behind which there are no networks of our own. */
int outside(struct xdp_md *ctx)
{
	struct search search = begin(ctx, NULL);

	search.outside = 1;
	if (is_spoofed(ctx))
		return leave_early(ctx, &search, REASON_SPOOFED);
	return heard(ctx, filter(ctx, &search));
}

int signatures(struct xdp_md *ctx)
{
	struct search search = begin(ctx, NULL);

	return heard(ctx, leave(ctx, &search, by_signature(ctx, &search), 1));
}

int connection(struct xdp_md *ctx)
{
	struct search search = begin(ctx, NULL);

	return heard(ctx, leave(ctx, &search, by_connection(ctx, &search), 1));
}

int monitor(struct xdp_md *ctx)
{
	struct search search = begin(ctx, NULL);

	return heard(ctx, leave(ctx, &search, record_monitored(ctx, &search), 1));
}

/* Notes what a QUIC packet that passes says of its flow; a dropped packet gets no answer. */
int quic(struct xdp_md *ctx)
{
	u32 zero = 0;
	struct scratch *scratch = scratches.lookup(&zero);
	struct control *control = controls_values();
	struct ports ports;

	if (scratch && !parse_again(ctx, scratch) &&
	    flow_of(ctx, control, &scratch->packet, 1) == FLOW_UNKNOWN &&
	    scratch->packet.protocol == PROTOCOL_UDP &&
	    read_ports(ctx, &scratch->packet, &ports) == 0 &&
	    ports.destination == network16(PORT_HTTPS))
		note_client_id(ctx, &scratch->packet,
			       hash_of_flow(control->seeds, &scratch->packet, &ports));
	return pass_on(ctx, XDP_PASS);
}

#include "stages/strata.bpf.h"
#include "stages/observe.bpf.h"
#include "stages/turn.bpf.h"
#include "stages/queries.bpf.h"
#include "stages/answer.bpf.h"
#include "stages/explain.bpf.h"
