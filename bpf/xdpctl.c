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
#include "cells.h"

/* Capacities, set by the loader from its configuration. */
#ifndef SLOTS_MAX
#define SLOTS_MAX (262144 + SLOT_FIRST)
#endif
#ifndef BUCKETS4_LOG2
#define BUCKETS4_LOG2 19
#endif
#ifndef BUCKETS6_LOG2
#define BUCKETS6_LOG2 18
#endif
#ifndef ENTRIES6_MAX
#define ENTRIES6_MAX 500000
#endif
#ifndef NODES_MAX
#define NODES_MAX (SLOTS_MAX + 65536)
#endif

#define MMAPABLE      (1U << 10)
#define PAGE_SIZE     65536 /* the largest there is */
#define SAMPLES_PAGES 4

BPF_F_TABLE("array", u32, u64, front4, (1U << FRONT_UNITS_LOG2) / 64, MMAPABLE);
BPF_F_TABLE("array", u32, u64, front6, (1U << FRONT_UNITS_LOG2) / 64, MMAPABLE);
BPF_F_TABLE("array", u32, struct near4, near4, 1U << NEAR4_UNITS_LOG2, MMAPABLE);
BPF_F_TABLE("array", u32, struct near6, near6, 1U << NEAR6_UNITS_LOG2, MMAPABLE);
BPF_F_TABLE("array", u32, u64, single6, (1U << SINGLE6_UNITS_LOG2) / 64, MMAPABLE);
BPF_F_TABLE("array", u32, struct bucket, cells4, 2U << BUCKETS4_LOG2, MMAPABLE);
BPF_F_TABLE("array", u32, struct bucket, cells6, 2U << BUCKETS6_LOG2, MMAPABLE);
BPF_F_TABLE("array", u32, struct entry6, entries6, ENTRIES6_MAX, MMAPABLE);
BPF_F_TABLE("array", u32, struct node, nodes, NODES_MAX, MMAPABLE);
BPF_F_TABLE("array", u32, struct slot, slots, SLOTS_MAX, MMAPABLE);
BPF_F_TABLE("percpu_array", u32, struct hits, hits, SLOTS_MAX, 0);
BPF_F_TABLE("percpu_array", u32, struct hits, counters, REASON_MAX, 0);
BPF_F_TABLE("array", u32, struct control, controls, 1, MMAPABLE);
BPF_F_TABLE("array", u32, struct explanation, explanations, 1, 0);
BPF_RINGBUF_OUTPUT(samples, SAMPLES_PAGES);

/* Helper 160, Linux 5.11: CLOCK_MONOTONIC as of the last tick, 15 ns cheaper than reading it. */
static u64 (*coarse_ns)(void) = (void *)160;
/* Helper 188, Linux 5.18: the whole frame, with the fragments of a jumbo one. */
static u64 (*frame_length)(struct xdp_md *ctx) = (void *)188;

/* One packet's way through the source table. */
struct search {
	__be32 source[4];
	u32 family;
	u64 bytes;
	u64 nothing;  /* 0, which the verifier cannot know: it walks each constant by itself */
	u64 sets_met; /* a set is met once, at its most specific prefix */
	u64 sample;   /* whether it met the sampled slot at a packet to be sampled */
	struct control *control;
	struct explanation *explanation;
};

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

/* REASON_NONE: the slot is free, expired, in monitor mode or was met before: go on. */
static __always_inline enum reason judge(struct search *search, u32 number)
{
	struct slot *slot = slots.lookup(&number);
	u64 word, expires_ns, bit;
	struct hits *hit;

	if (!slot)
		return REASON_FAULT;
	word = *(volatile u64 *)&slot->word;
	expires_ns = word & ~(u64)WORD_FLAGS;
	if ((word & WORD_ACTION) == ACTION_NONE)
		return REASON_NONE;
	if (expires_ns && expires_ns <= coarse_ns())
		return REASON_NONE;
	if (number >= SLOT_SETS && number < SLOT_FIRST) {
		bit = 1ULL << (number - SLOT_SETS);
		if (search->sets_met & bit)
			return REASON_NONE;
		search->sets_met |= bit;
	}
	if (search->explanation) {
		record(search->explanation, number);
	} else {
		hit = hits.lookup(&number);
		if (!hit)
			return REASON_FAULT;
		search->sample |= is_zero(search->control->sampled ^ number) &
				  is_zero(hit->packets & search->control->mask);
		add(hit, search->bytes);
	}
	if ((word & WORD_FLAGS) >> WORD_MODE_SHIFT == MODE_MONITOR)
		return REASON_NONE;
	if (number == SLOT_PROTECTED)
		return REASON_PROTECTED;
	return (word & WORD_ACTION) == ACTION_DROP ? REASON_DROPPED : REASON_ACCEPTED;
}

/* Read by whoever asked for it, at his own pace: a wake-up would cost the packet 100 ns. */
static __always_inline void sample(struct search *search)
{
	struct sample sample = {.slot = search->control->sampled, .family = search->family};

	__builtin_memcpy(sample.source, search->source, sizeof(sample.source));
	samples.ringbuf_output(&sample, sizeof(sample), BPF_RB_NO_WAKEUP);
}

/* The first slot of what a value leads to; the value becomes what is left, 0 for nothing. */
static __always_inline u32 next_slot(u32 *value)
{
	u32 index = *value & ~(u32)VALUE_LIST;
	struct node *node;
	u64 whole;

	if (!(*value & VALUE_LIST)) {
		*value = 0;
		return index;
	}
	node = nodes.lookup(&index);
	whole = node ? *(volatile u64 *)node : 0;
	*value = whole >> 32;
	return whole;
}

/* The value of exactly this prefix, 0 if it is not listed; it is in one of two buckets. */
static __always_inline u32 find4(struct control *control, u32 address, u32 length)
{
	u64 key = (u64)address << 6 | length;
	u32 log2 = size_of(control, 0);
	u32 index = bucket_of(key * control->seeds[0], log2), value;
	struct bucket *bucket = cells4.lookup(&index);

	if (!bucket)
		return 0;
	value = find_in(bucket, key);
	if (value || !overflowed(bucket))
		return value;
	index = bucket_of(key * control->seeds[1], log2);
	bucket = cells4.lookup(&index);
	return bucket ? find_in(bucket, key) : 0;
}

static __always_inline enum reason source_ipv4(struct search *search)
{
	u32 address = host32(search->source[0]);
	u32 unit = address >> (32 - FRONT_UNITS_LOG2), index = unit / 64;
	struct control *control = search->control;
	u32 value = 0, left, length;
	struct near4 *near;
	enum reason reason;
	u64 *word, hash;

	word = front4.lookup(&index);
	if (!word)
		return REASON_FAULT;
	if (!bit_of(word, unit))
		return REASON_NO_RULE;
	unit = address >> (32 - NEAR4_UNITS_LOG2);
	near = near4.lookup(&unit);
	if (!near)
		return REASON_FAULT;
	hash = ((u64)address << 6 | 32) * control->seeds[1];
	if (near->singles >> (hash >> 59) & 1)
		value = find4(control, address, 32);
	left = near->lengths | control->whole[0] << 31;
	for (int step = 0; step < SEARCH4_MAX; step++) {
		if (!value) {
			if (!left)
				return REASON_NO_RULE;
			length = 31 - lowest_bit(left);
			left &= left - 1;
			value =
			    find4(control, (u64)address >> (32 - length) << (32 - length), length);
		}
		if (value) {
			reason = judge(search, next_slot(&value));
			if (reason)
				return reason;
		}
	}
	return REASON_FAULT;
}

static __always_inline u32 find_in6(struct bucket *bucket, u64 key, struct address6 *address,
				    u32 length)
{
	u32 index = find_in(bucket, key);
	struct entry6 *entry = entries6.lookup(&index);

	if (!index || !entry || entry->length != length ||
	    host64(((u64 *)entry->address)[0]) != address->high ||
	    host64(((u64 *)entry->address)[1]) != address->low)
		return 0;
	return *(volatile u32 *)&entry->value;
}

static __always_inline u32 find6(struct control *control, struct address6 *address, u32 length)
{
	u64 hash = hash6(control->seeds, address, length), key = hash & KEY_MASK;
	u32 log2 = size_of(control, 1);
	u32 index = bucket_of(hash * control->seeds[2], log2), value;
	struct bucket *bucket = cells6.lookup(&index);

	if (!bucket)
		return 0;
	value = find_in6(bucket, key, address, length);
	if (value || !overflowed(bucket))
		return value;
	index = bucket_of(hash, log2);
	bucket = cells6.lookup(&index);
	return bucket ? find_in6(bucket, key, address, length) : 0;
}

static __always_inline enum reason source_ipv6(struct search *search)
{
	u32 top = host32(search->source[0]), value = 0, base = 127 + search->nothing, length;
	u32 unit = top * 0x9e3779b1 >> (32 - FRONT_UNITS_LOG2), index = unit / 64;
	struct control *control = search->control;
	struct address6 address, prefix;
	struct near6 *near;
	enum reason reason;
	u64 *word, left;

	word = front6.lookup(&index);
	if (!word)
		return REASON_FAULT;
	if (!bit_of(word, unit))
		return REASON_NO_RULE;
	index = unit >> (FRONT_UNITS_LOG2 - NEAR6_UNITS_LOG2);
	address.high = (u64)top << 32 | host32(search->source[1]);
	address.low = (u64)host32(search->source[2]) << 32 | host32(search->source[3]);
	near = near6.lookup(&index);
	if (!near)
		return REASON_FAULT;
	if (near->shorter >> NEAR6_SINGLES) {
		unit = hash6(control->seeds, &address, 128) * control->seeds[2] >>
		       (64 - SINGLE6_UNITS_LOG2);
		index = unit / 64;
		word = single6.lookup(&index);
		if (word && bit_of(word, unit))
			value = find6(control, &address, 128);
	}
	left = near->longer;
	for (int step = 0; step < SEARCH6_MAX; step++) {
		if (!value && !left) {
			if (base == 63)
				return REASON_NO_RULE;
			base = 63 + search->nothing;
			left = near->shorter << 1 >> 1 | (u64)control->whole[1] << 63;
			continue;
		}
		if (!value) {
			length = lowest_bit(left);
			left &= left - 1;
			prefix = address;
			if (base == 127) {
				prefix.low = first_bits(address.low, 63 - length);
			} else {
				prefix.low = 0;
				prefix.high = first_bits(address.high, 63 - length);
			}
			value = find6(control, &prefix, base - length);
		}
		if (value) {
			reason = judge(search, next_slot(&value));
			if (reason)
				return reason;
		}
	}
	return REASON_FAULT;
}

static __always_inline enum reason decide(struct xdp_md *ctx, u64 bytes,
					  struct explanation *explanation)
{
	u64 nothing = bytes >> 32;
	struct search search = {
	    .bytes = bytes,
	    .nothing = nothing,
	    .sets_met = nothing,
	    .sample = nothing,
	    .explanation = explanation,
	};
	struct packet packet = {};
	enum reason reason;
	u32 zero = 0;

	search.control = controls.lookup(&zero);
	if (!search.control)
		return REASON_FAULT;
	if (search.control->bypass)
		return REASON_BYPASS;
	reason = parse(ctx, &packet);
	if (reason)
		return reason;
	search.family = packet.family;
	if (packet.family == 4) {
		search.source[0] = packet.source[0];
		reason = link_ipv4(ctx, &packet);
		if (!reason)
			reason = source_ipv4(&search);
	} else {
		__builtin_memcpy(search.source, packet.source, sizeof(search.source));
		reason = link_ipv6(ctx, &packet);
		if (!reason)
			reason = source_ipv6(&search);
	}
	if (search.sample)
		sample(&search);
	return reason;
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
	explanation->reason = decide(ctx, frame_length(ctx), explanation);
	return XDP_DROP;
}
