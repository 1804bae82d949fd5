// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The filter: what keeps the link alive passes, then the most specific prefix that covers the
 * source decides. Every packet leaves through one exit that counts it under a reason.
 *
 * Two programs share the maps. `xdpctl` is attached. `explain` is run by BPF_PROG_TEST_RUN
 * alone: it counts nothing and never returns XDP_PASS or XDP_TX, so that an unprivileged
 * process may hold it without being able to inject frames into the stack.
 */
#include "parse.h"
#include "link.h"

/* Capacities, set by the loader from its configuration. */
#ifndef SLOTS_MAX
#define SLOTS_MAX 262146
#endif
#ifndef ENTRIES_MAX
#define ENTRIES_MAX 524288
#endif

#define FRONT_BITS  2
#define FRONT_UNITS (64 / FRONT_BITS) /* units in a word */
#define NO_PREALLOC (1U << 0)
#define MMAPABLE    (1U << 10)

BPF_F_TABLE("array", u32, u64, front4, (1U << FRONT4_UNITS_LOG2) / FRONT_UNITS, MMAPABLE);
BPF_F_TABLE("array", u32, u64, front6, (1U << FRONT6_UNITS_LOG2) / FRONT_UNITS, MMAPABLE);
BPF_F_TABLE("hash", __be32, u32, exact4, ENTRIES_MAX, NO_PREALLOC);
BPF_F_TABLE("lpm_trie", struct prefix4, struct covering, prefixes4, ENTRIES_MAX, NO_PREALLOC);
struct address6 {
	__be32 words[4];
};
BPF_F_TABLE("hash", struct address6, u32, exact6, ENTRIES_MAX, NO_PREALLOC);
BPF_F_TABLE("lpm_trie", struct prefix6, struct covering, prefixes6, ENTRIES_MAX, NO_PREALLOC);
BPF_F_TABLE("array", u32, struct slot, slots, SLOTS_MAX, MMAPABLE);
BPF_F_TABLE("percpu_array", u32, struct hits, hits, SLOTS_MAX, 0);
BPF_F_TABLE("percpu_array", u32, struct hits, counters, REASON_MAX, 0);
BPF_F_TABLE("array", u32, struct control, controls, 1, 0);
BPF_F_TABLE("array", u32, struct explanation, explanations, 1, 0);

/* Helper 160, Linux 5.11: CLOCK_MONOTONIC as of the last tick, 15 ns cheaper than reading it. */
static u64 (*coarse_ns)(void) = (void *)160;
/* Helper 188, Linux 5.18: the whole frame, with the fragments of a jumbo one. */
static u64 (*frame_length)(struct xdp_md *ctx) = (void *)188;

/* Softirq context: nothing else on this CPU touches these counters. */
static __always_inline void add(struct hits *hits, u64 bytes)
{
	hits->packets++;
	hits->bytes += bytes;
}

static __always_inline void record(struct explanation *explanation, u32 number)
{
	u32 met = explanation->slots_met;

	if (met < EXPLANATION_SLOTS_MAX) {
		explanation->slots[met] = number;
		explanation->slots_met = met + 1;
	}
}

/* REASON_NONE: the slot is free, expired or in monitor mode, so the search goes on. */
static __always_inline enum reason judge(u32 number, u64 bytes, struct explanation *explanation)
{
	struct slot *slot = slots.lookup(&number);
	u64 word, expires_ns;
	struct hits *hit;

	if (!slot)
		return REASON_FAULT;
	word = *(volatile u64 *)&slot->word;
	expires_ns = word & ~(u64)WORD_FLAGS;
	if ((word & WORD_ACTION) == ACTION_NONE)
		return REASON_NONE;
	if (expires_ns && expires_ns <= coarse_ns())
		return REASON_NONE;
	if (explanation) {
		record(explanation, number);
	} else {
		hit = hits.lookup(&number);
		if (!hit)
			return REASON_FAULT;
		add(hit, bytes);
	}
	if ((word & WORD_FLAGS) >> WORD_MODE_SHIFT == MODE_MONITOR)
		return REASON_NONE;
	if (number == SLOT_PROTECTED)
		return REASON_PROTECTED;
	return (word & WORD_ACTION) == ACTION_DROP ? REASON_DROPPED : REASON_ACCEPTED;
}

static __always_inline u32 front_bits(u64 word, u32 unit)
{
	return word >> (unit % FRONT_UNITS * FRONT_BITS);
}

static __always_inline enum reason source_ipv4(__be32 address, u64 bytes,
					       struct explanation *explanation)
{
	u32 unit = host32(address) >> (32 - FRONT4_UNITS_LOG2);
	u32 index = unit / FRONT_UNITS, *number, bits;
	struct prefix4 key = {.length = 32};
	struct covering *covering;
	enum reason reason;
	u64 *word;

	word = front4.lookup(&index);
	if (!word)
		return REASON_FAULT;
	bits = front_bits(*word, unit);
	if (bits & FRONT_EXACT) {
		number = exact4.lookup(&address);
		reason = number ? judge(*number, bytes, explanation) : REASON_NONE;
		if (reason)
			return reason;
	}
	if (!(bits & FRONT_PREFIX))
		return REASON_NO_RULE;
	__builtin_memcpy(key.address, &address, sizeof(key.address));
	for (int step = 0; step <= 32; step++) {
		covering = prefixes4.lookup(&key);
		if (!covering)
			break;
		reason = judge(covering->slot, bytes, explanation);
		if (reason)
			return reason;
		if (!covering->length)
			break;
		key.length = covering->length - 1;
	}
	return REASON_NO_RULE;
}

static __always_inline enum reason source_ipv6(struct address6 *address, u64 bytes,
					       struct explanation *explanation)
{
	u32 unit = host32(address->words[0]) * 0x9e3779b1 >> (32 - FRONT6_UNITS_LOG2);
	u32 index = unit / FRONT_UNITS, *number, bits;
	struct prefix6 key = {.length = 128};
	struct covering *covering;
	enum reason reason;
	u64 *word;

	word = front6.lookup(&index);
	if (!word)
		return REASON_FAULT;
	bits = front_bits(*word, unit);
	if (bits & FRONT_EXACT) {
		number = exact6.lookup(address);
		reason = number ? judge(*number, bytes, explanation) : REASON_NONE;
		if (reason)
			return reason;
	}
	if (!(bits & FRONT_PREFIX))
		return REASON_NO_RULE;
	__builtin_memcpy(key.address, address, sizeof(key.address));
	for (int step = 0; step <= 128; step++) {
		covering = prefixes6.lookup(&key);
		if (!covering)
			break;
		reason = judge(covering->slot, bytes, explanation);
		if (reason)
			return reason;
		if (!covering->length)
			break;
		key.length = covering->length - 1;
	}
	return REASON_NO_RULE;
}

static __always_inline enum reason decide(struct xdp_md *ctx, u64 bytes,
					  struct explanation *explanation)
{
	struct packet packet = {};
	struct address6 source;
	struct control *control;
	enum reason reason;
	u32 zero = 0;

	control = controls.lookup(&zero);
	if (!control)
		return REASON_FAULT;
	if (control->bypass)
		return REASON_BYPASS;
	reason = parse(ctx, &packet);
	if (reason)
		return reason;
	if (packet.family == 4) {
		reason = link_ipv4(ctx, &packet);
		return reason ? reason : source_ipv4(packet.source[0], bytes, explanation);
	}
	reason = link_ipv6(ctx, &packet);
	if (reason)
		return reason;
	__builtin_memcpy(&source, packet.source, sizeof(source));
	return source_ipv6(&source, bytes, explanation);
}

/* The one exit. */
int xdpctl(struct xdp_md *ctx)
{
	u64 bytes = frame_length(ctx);
	u32 reason = decide(ctx, bytes, NULL);
	struct hits *counter = counters.lookup(&reason);

	if (counter)
		add(counter, bytes);
	return reason >= REASON_DROPPED ? XDP_DROP : XDP_PASS;
}

int explain(struct xdp_md *ctx)
{
	u32 zero = 0;
	struct explanation *explanation = explanations.lookup(&zero);

	if (!explanation)
		return XDP_ABORTED;
	explanation->slots_met = 0;
	explanation->reason = decide(ctx, 0, explanation);
	return XDP_DROP;
}
