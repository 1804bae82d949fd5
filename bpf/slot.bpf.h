/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Evaluates a slot for a packet: counts, samples, explains, and returns the verdict. */

#define OF_FLEET 2 /* search.neighbourly: traffic between the nodes of the fleet */

/* The state of one packet's evaluation. */
struct search {
	__be32 source[4];
	u32 family;
	u64 bytes;
	u64 opaque_zero; /* 0, unknown to the verifier, which would track known constants apart */
	u64 sets_met;	 /* bits of the sets met: each counts once, at its narrowest prefix */
	u64 sample;	 /* whether the packet is to be sampled */
	u32 outside;	 /* whether it came in on an outside interface */
	u32 exempt;	 /* 1: before a drop, check the exemptions in exempt.bpf.h */
	u32 neighbourly; /* outside, not 0: a packet such as neighbours send, see side.bpf.h */
	u32 of_inside;	 /* outside: its source cannot be there, so no slot accepts it */
	u64 monitored;	 /* slots in monitor mode that it met, MONITORED_BITS each, the last one
			  * lowest
			  */
	struct control *control;
	struct explanation *explanation;
};

static __always_inline void record(struct explanation *explanation, u32 number)
{
	u32 met = explanation->slots_met;

	if (met < EXPLANATION_SLOTS_MAX) {
		asm volatile("" : "+r"(met)); /* so that the mask stays, for the verifier of 6.1 */
		explanation->slots[met % EXPLANATION_SLOTS_MAX] = number;
		explanation->slots_met = met + 1;
	} else {
		explanation->slots[EXPLANATION_SLOTS_MAX - 1] =
		    number; /* the last slot met is always recorded */
	}
}

/* Whether a slot has an action for what comes in: neither ACTION_NONE nor the last one, ACTION_OUT.
 */
static __always_inline int acts(u64 word)
{
	return ((word + 1) & WORD_ACTION) > 1;
}

static __always_inline int in_force(u64 word)
{
	return acts(word) && !has_expired(word);
}

/*
 * On an outside interface, source rules do apply to a packet with a neighbour's address that is not
 * one of those that neighbours send.
 */
static __always_inline u64 pretends_neighbour(struct search *search, u32 number)
{
	if (!search->outside)
		return 0;
	return is_zero(number ^ SLOT_NEIGHBOUR) & is_zero(search->neighbourly);
}

/*
 * The slot's verdict with the slot's number above it; `dropped` is the reason for a drop.
 * REASON_SPARE says that exemptions, or what the rule spares, must be checked. REASON_NONE: the
 * slot is in monitor mode, so the search continues.
 */
static __always_inline u32 apply_slot(struct search *search, u32 number, u64 word,
				      enum reason dropped)
{
	struct hits *hit;

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
	if (word & WORD_MONITOR) {
		search->monitored = search->monitored << MONITORED_BITS | number;
		return REASON_NONE;
	}
	if (!search->outside && (number == SLOT_PROTECTED || number == SLOT_NEIGHBOUR))
		return REASON_PROTECTED | number << REASON_SLOT_SHIFT;
	number <<= REASON_SLOT_SHIFT;
	if ((word & WORD_ACTION) == ACTION_ACCEPT)
		return REASON_ACCEPTED | number;
	return dropped | (word & (WORD_SPARE | WORD_KNOWS)) << REASON_FROM_WORD |
	       search->exempt * REASON_SPARE | number;
}

/* REASON_NONE: the slot is free, expired, in monitor mode or was met before; continue. */
static __always_inline u32 eval_slot(struct search *search, u32 number)
{
	struct slot *slot = slots.lookup(&number);
	u64 word, bit;

	if (!slot)
		return REASON_FAULT;
	word = *(volatile u64 *)&slot->word;
	/* by arithmetic, so that the verifier explores one path */
	word &= ~((u64)WORD_ACTION *
		  (is_zero((word & WORD_ACTION) ^ ACTION_ACCEPT) & search->of_inside));
	if (!in_force(word) || pretends_neighbour(search, number))
		return REASON_NONE;
	if (number >= SLOT_SETS && number < SLOT_FIRST) {
		bit = 1ULL << (number - SLOT_SETS);
		if (search->sets_met & bit)
			return REASON_NONE;
		search->sets_met |= bit;
	}
	return apply_slot(search, number, word, REASON_DROPPED);
}

/* The reader polls the ring, because a wake-up would cost 100 ns per packet. */
static __always_inline void sample(struct search *search)
{
	struct sample sample = {.slot = search->control->sampled, .family = search->family};

	__builtin_memcpy(sample.source, search->source, sizeof(sample.source));
	samples.ringbuf_output(&sample, sizeof(sample), BPF_RB_NO_WAKEUP);
}
