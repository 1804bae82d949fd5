/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks a module about a packet. The signatures stage calls it and goes on where it stopped. A
 * module is timed now and then, and takes itself out if most of these packets took too long, even
 * if every process of ours is dead.
 */

#define TIMED	   63 /* about one packet in so many + 1 */
#define TIMES_MOST 64 /* after which it is judged */

static __always_inline void see(struct xdp_md *ctx, struct scratch *scratch, struct view *view)
{
	struct packet *packet = &scratch->packet;
	u32 *values = scratch->values, at;

	read_payload(ctx, scratch);
	at = payload_at(ctx, packet);
	if (scratch->payload_bytes < PAYLOAD_BYTES) { /* nothing of what pads the frame */
		__builtin_memset(scratch->payload, 0, sizeof(scratch->payload));
		if (scratch->payload_bytes)
			copy(ctx, at, scratch->payload, scratch->payload_bytes, PAYLOAD_BYTES);
	}
	view->frame = ctx;
	view->scratch = scratch;
	view->payload = scratch->payload;
	view->at = at;
	view->bytes = at && (s32)(packet->end - at) > 0 ? packet->end - at : 0;
	view->family = packet->family;
	view->protocol = values[FIELD_PROTOCOL];
	view->source_port = values[FIELD_SOURCE_PORT];
	view->destination_port = values[FIELD_DESTINATION_PORT];
	view->tcp_flags = values[FIELD_TCP_FLAGS];
	view->ttl = values[FIELD_TTL];
	view->length = values[FIELD_PACKET_LENGTH];
	view->source = packet->source;
	view->destination = packet->destination;
}

static __always_inline void count_time(struct module_counts *counts, u64 ns)
{
	counts->timed_ns += ns;
	counts->timed++;
	counts->late += ns > BUDGET_NS;
	if (counts->timed & (TIMES_MOST - 1))
		return;
	counts->ended |= counts->late > TIMES_MOST / 2;
	counts->late = 0;
}

/* Whether modules are asked about a packet: its transport header is there. */
static __always_inline int is_asked(struct packet *packet)
{
	u32 protocol = packet->protocol;

	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_ICMP ||
	       protocol == PROTOCOL_ICMPV6;
}

/* `alone`: outside the filter, where it is not timed, and never ended. */
static __always_inline u32 asked(struct xdp_md *ctx, struct scratch *scratch,
				 struct module_counts *counts, int alone)
{
	struct view view;
	u32 is_timed, verdict;
	u64 began = 0;

	scratch->halted.reply_bytes = 0;
	if ((!alone && counts->ended) || !is_asked(&scratch->packet))
		return PASS;
	is_timed = !(counts->packets++ & TIMED) && !alone;
	see(ctx, scratch, &view);
	if (is_timed)
		began = bpf_ktime_get_ns();
	verdict = decide(&view);
	asm volatile("" : "+r"(verdict)); /* else the verifier tracks each verdict apart */
	if (is_timed)
		count_time(counts, bpf_ktime_get_ns() - began);
	counts->dropped += verdict == DROP;
	counts->challenged += verdict == CHALLENGE;
	counts->nonsense += verdict - PASS > CHALLENGE - PASS;
	return verdict == DROP || verdict == CHALLENGE ? verdict : PASS;
}

int module(struct xdp_md *ctx)
{
	u32 zero = 0;
	struct scratch *scratch = scratches.lookup(&zero);
	struct module_counts *counts = module_counts.lookup(&zero);

	if (!scratch || !counts)
		return XDP_PASS;
	scratch->halted.verdict = asked(ctx, scratch, counts, 0);
	if (scratch->halted.verdict != CHALLENGE)
		scratch->halted.reply_bytes = 0;
	stages.call(ctx, STAGE_SIGNATURES);
	scratch->halted.verdict = 0; /* it failed, which nothing makes it do */
	return XDP_PASS;
}

/* Parses a frame and asks the module, for BPF_PROG_TEST_RUN: ASKED and above it the verdict. */
static __always_inline int asked_alone(struct xdp_md *ctx, int asks)
{
	u32 zero = 0;
	struct scratch *scratch = scratches.lookup(&zero);
	struct module_counts *counts = module_counts.lookup(&zero);

	if (!scratch || !counts || parse_again(ctx, scratch) || read_fields(ctx, scratch) ||
	    !is_asked(&scratch->packet))
		return ASKED;
	if (!asks) {
		struct view view;

		see(ctx, scratch, &view);
		return ASKED | PASS << ASKED_SHIFT;
	}
	return ASKED | asked(ctx, scratch, counts, 1) << ASKED_SHIFT;
}

int module_alone(struct xdp_md *ctx)
{
	return asked_alone(ctx, 1);
}

/* The same without the module, to measure what it adds. */
int module_without(struct xdp_md *ctx)
{
	return asked_alone(ctx, 0);
}
