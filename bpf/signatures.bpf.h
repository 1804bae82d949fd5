/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signatures: the first one that matches decides. Each value of each field has a bitmap of the
 * signatures that match it, and the intersection of all fields' bitmaps has the signatures that
 * match the packet (bit vectors: Lakshman and Stiliadis, SIGCOMM 1998; summaries of their words:
 * Baboescu and Varghese, SIGCOMM 2001).
 */

#include "gcra.h"

/* The state of the look-up of one packet in a generation. */
struct sig_lookup {
	struct family *family;
	struct scratch *scratch;
	struct bitmap *bitmaps; /* BITMAPS_MAX of them */
	u32 number;		/* of the generation */
	u32 classes;		/* index of the generation's first class */
	u32 summary;		/* bitmap words in which a signature may match */
};

static __always_inline u32 *class_of(struct sig_lookup *match, u32 begin, u32 field)
{
	u32 place = match->classes + begin + match->scratch->values[field % FIELDS_MAX];
	u32 index = place / 2;
	struct classes *pair = classes.lookup(&index);

	return pair ? &pair->of[place % 2] : NULL;
}

/* FlowSpec's `port`: a signature matches if it matches the source or the destination port. */
static __always_inline int classify_ports(struct sig_lookup *match)
{
	u32 *source = class_of(match, match->family->port, FIELD_SOURCE_PORT);
	u32 *destination = class_of(match, match->family->port, FIELD_DESTINATION_PORT);

	if (!source || !destination)
		return -1;
	match->scratch->ports[0] = *source;
	match->scratch->ports[1] = *destination;
	match->scratch->summary &= (*source | *destination) >> CLASS_BITS;
	return 0;
}

/* Collects the class of every field, or stops if no signature is left; -1 if a class is missing. */
static __always_inline int classify(struct sig_lookup *match)
{
	struct family *family = match->family;

	match->scratch->summary = family->whole >> CLASS_BITS;
	match->scratch->ports[0] = match->scratch->ports[1] = family->whole;
	if (family->port_used && classify_ports(match) < 0)
		return -1;
	for (u32 i = 0; i < FIELDS_MAX; i++) {
		struct lookup *lookup = &family->lookups[i];
		u32 *field_class, found;

		if (i >= family->lookups_used || !match->scratch->summary)
			return 0;
		field_class = class_of(match, lookup->classes, lookup->field);
		if (!field_class)
			return -1;
		found = *field_class;
		match->scratch->classes[i] = found;
		match->scratch->summary &= found >> CLASS_BITS;
	}
	return 0;
}

static __always_inline u64 word_of(struct sig_lookup *match, u32 field_class, u32 word)
{
	return match->bitmaps[field_class % BITMAPS_MAX].words[word % BITMAP_WORDS];
}

/* The signatures that match every field, in words of 64. */
static __always_inline void intersect(struct sig_lookup *match)
{
	struct family *family = match->family;
	struct scratch *scratch = match->scratch;
	u32 summary = match->scratch->summary;

	for (u32 n = 0; n < BITMAP_WORDS; n++) {
		u32 word = lowest_bit(summary);
		u64 found;

		if (!summary)
			return;
		summary &= summary - 1;
		found = word_of(match, scratch->ports[0], word) |
			word_of(match, scratch->ports[1], word);
		for (u32 i = 0; i < FIELDS_MAX; i++) {
			if (i >= family->lookups_used)
				break;
			found &= word_of(match, scratch->classes[i], word);
		}
		scratch->found[word % BITMAP_WORDS] = found;
	}
}

static __always_inline u64 two_words(__be32 *words)
{
	return (u64)host32(words[0]) << 32 | host32(words[1]);
}

/* The bits of both addresses that select a bucket, as one number. */
static __always_inline u64 addresses_of(struct control *control, struct packet *packet,
					struct rate *rate)
{
	u64 key;

	if (packet->family == 4) {
		key = (u64)(host32(packet->destination[0]) & rate->destination4) << 32;
		return key | (host32(packet->source[0]) & rate->source4);
	}
	key = two_words(packet->destination) & rate->destination6[0];
	key =
	    key * control->seeds[1] ^ (two_words(packet->destination + 2) & rate->destination6[1]);
	key = (key ^ key >> 32) * control->seeds[2];
	return key ^ (two_words(packet->source) & rate->source6);
}

static __always_inline u64 *bucket_for(struct search *search, struct scratch *scratch,
				       struct rate *rate, u32 number)
{
	u32 index = (1U << BUCKETS_LOG2) + number * BUCKET_STRIDE;

	if (rate->by_address)
		index =
		    bucket_index(search->control,
				 addresses_of(search->control, &scratch->packet, rate), rate->salt);
	return buckets.lookup(&index);
}

/* Whether a packet exceeds a bucket's rate. */
static __always_inline int exceeds(struct search *search, u64 *bucket, u64 cost, u64 burst_ns)
{
	u64 now = limits_ns();

	return exceeds_rate(bucket, now, cost, burst_ns, !search->explanation || explain_adds(now));
}

/* 0: the packet exceeds a limit; 1: it is within it; 2: and the limit is final. */
static __always_inline int within(struct search *search, struct scratch *scratch, u32 number)
{
	struct rate *rate = rates.lookup(&number);
	u64 cost, *bucket;

	if (!rate)
		return 1;
	bucket = bucket_for(search, scratch, rate, number);
	if (!bucket)
		return 1;
	cost = (rate->by_bytes ? limited_bytes(search->bytes) * rate->cost : rate->cost) >>
	       RATE_COST_SHIFT;
	if (exceeds(search, bucket, cost, rate->burst_ns))
		return 0;
	return 1 + (rate->final & 1); /* without a branch: the verifier follows each */
}

/* Whether the action is not for this packet: within the limit (2: a final one), or not challenged.
 */
static __always_inline int goes_on(struct search *search, struct scratch *scratch, u32 number,
				   u32 action, u32 asked)
{
	if (action == ACTION_LIMIT)
		return within(search, scratch, number - SLOT_SIGNATURES);
	/* a module has decided whom to challenge */
	return action >= ACTION_CHALLENGE && !asked && !(scratch->challenges >> action & 1);
}

static __always_inline enum reason reason_of(u32 action)
{
	if (action == ACTION_LIMIT)
		return REASON_LIMITED;
	return action >= ACTION_CHALLENGE ? REASON_CHALLENGED : REASON_MATCHED;
}

/* REASON_NONE: the slot is free, expired or in monitor mode, or its action is not for the packet.
 * REASON_NO_RULE: likewise, and the search is over.
 */
static __always_inline u32 judge_signature(struct search *search, struct scratch *scratch,
					   u32 number, u32 asked)
{
	struct slot *slot = slots.lookup(&number);
	u32 action;
	int on;
	u64 word;

	if (!slot)
		return REASON_FAULT;
	word = *(volatile u64 *)&slot->word;
	if (!in_force(word))
		return REASON_NONE;
	action = word & WORD_ACTION;
	on = goes_on(search, scratch, number, action, asked);
	if (on) {
		if (search->explanation)
			record(search->explanation, number);
		on = on >> 1 & ~(word / WORD_MONITOR) & 1;
		return on * REASON_NO_RULE;
	}
	return apply_slot(search, number, word, reason_of(action));
}

static __always_inline u32 differs(struct scratch *scratch, struct payload *payload, u32 window)
{
	u32 at = payload->at[window] & (PAYLOAD_BYTES - 1);

	return !!((*(u64 *)(scratch->payload + at) ^ payload->value[window]) &
		  payload->mask[window]);
}

/* Whether the packet has the bytes that the signature at this position compares, if it does. */
static __always_inline int has_payload(struct sig_lookup *match, u32 slot, u32 position)
{
	u32 place = match->number * SIGNATURES_MAX + position % SIGNATURES_MAX;
	struct scratch *scratch = match->scratch;
	struct payload *payload;

	if (!(slot & HAS_PAYLOAD))
		return 1;
	payload = payloads.lookup(&place);
	return payload && scratch->payload_bytes >= payload->least &&
	       (differs(scratch, payload, 0) | differs(scratch, payload, 1) << 1) ==
		   payload->differing;
}

/* Record the matching signatures after the one that decided. */
static __always_inline void tell_behind(struct sig_lookup *match, struct generation *generation,
					struct explanation *explanation, u32 word, u64 left)
{
	for (int step = 0; step < EXPLANATION_SLOTS_MAX + BITMAP_WORDS; step++) {
		u32 met = explanation->behind_met, position, slot;

		if (!left) {
			if (!match->scratch->summary)
				return;
			word = lowest_bit(match->scratch->summary);
			match->scratch->summary &= match->scratch->summary - 1;
			left = match->scratch->found[word % BITMAP_WORDS];
			continue;
		}
		position = word * 64 + lowest_bit(left);
		asm volatile("" : "+r"(position)); /* so that masks stay, for Linux 6.1 */
		left &= left - 1;
		if (met >= EXPLANATION_SLOTS_MAX)
			return;
		slot = generation->slots[position % SIGNATURES_MAX];
		if (!has_payload(match, slot, position))
			continue;
		asm volatile("" : "+r"(met));
		explanation->behind[met % EXPLANATION_SLOTS_MAX] = slot & SLOT_MASK;
		explanation->behind_met = met + 1;
	}
}

/*
 * Asks the module of a signature. It is another program, which calls this one again: see resume().
 * A module that is not there is as one that says PASS.
 */
static __always_inline u32 ask(struct xdp_md *ctx, struct search *search, struct sig_lookup *match,
			       u32 slot, u32 word, u64 left)
{
	struct halted *halted = &match->scratch->halted;

	match->scratch->found[word % BITMAP_WORDS] = left;
	match->scratch->summary |= !!left << word % BITMAP_WORDS;
	halted->monitored = search->monitored;
	halted->sample = search->sample;
	halted->number = match->number;
	halted->slot = slot & SLOT_MASK;
	stages.call(ctx, STAGES_MAX - 1 + (slot >> MODULE_SHIFT & MODULE_MASK));
	halted->verdict = MODULE_PASS;
	stages.call(ctx, STAGE_SIGNATURES);
	halted->verdict = 0;
	return REASON_FAULT;
}

/* Judges the signature whose module was asked; then the search goes on as after any other. */
static __always_inline u32 resume(struct search *search, struct scratch *scratch, u32 verdict)
{
	search->monitored = scratch->halted.monitored;
	search->sample = scratch->halted.sample;
	if (verdict == MODULE_PASS)
		return REASON_NONE;
	return judge_signature(search, scratch, scratch->halted.slot, 1);
}

/* Finds the signatures that match by their fields. A reason if that decides, else REASON_NONE. */
static __always_inline u32 find_signatures(struct xdp_md *ctx, struct search *search,
					   struct sig_lookup *match)
{
	struct scratch *scratch = match->scratch;
	enum answers answers;

	scratch->halted.slot = SLOT_NONE;
	if (!match->family->whole)
		return REASON_NO_RULE;
	if (read_fields(ctx, scratch) < 0)
		return REASON_FAULT;
	scratch->challenges = 0;
	if (search->control->challenging) {
		answers = is_answer(ctx, search, scratch);
		if (answers == ANSWERS)
			return REASON_ANSWERED;
		scratch->challenges = challenges_for(ctx, search, scratch, answers);
	}
	if (classify(match) < 0)
		return REASON_FAULT;
	intersect(match);
	if (match->family->payload_used && scratch->summary)
		read_payload(ctx, scratch);
	return REASON_NONE;
}

/* `verdict`: that of a module that interrupted the search; 0: the search begins. */
static __always_inline u32 signature(struct xdp_md *ctx, struct search *search,
				     struct scratch *scratch, u32 verdict)
{
	u32 armed = *(volatile u32 *)&search->control->armed;
	u32 number = verdict ? scratch->halted.number : armed - 1, position;
	u32 word = 0;
	struct generation *generation = generations.lookup(&number);
	struct sig_lookup match = {
	    .scratch = scratch,
	    .bitmaps = bitmaps.lookup(&number),
	    .number = number,
	};
	u32 reason, slot;
	u64 left = 0;

	if (!armed && !verdict) /* the last signature was removed meanwhile */
		return REASON_NO_RULE;
	if (!generation || !match.bitmaps)
		return REASON_FAULT;
	match.family = &generation->families[search->family >> 1 & 1]; /* 4: 0, 6: 1 */
	match.classes = number * CLASSES_MAX;
	reason = verdict ? resume(search, scratch, verdict) : find_signatures(ctx, search, &match);
	if (reason)
		return reason;
	for (int step = 0; step < SIGNATURE_STEPS_MAX; step++) {
		if (!left) {
			if (!match.scratch->summary)
				return REASON_NO_RULE;
			word = lowest_bit(match.scratch->summary);
			match.scratch->summary &= match.scratch->summary - 1;
			left = match.scratch->found[word % BITMAP_WORDS];
			continue;
		}
		position = word * 64 + lowest_bit(left);
		asm volatile("" : "+r"(position)); /* so that masks stay, for Linux 6.1 */
		slot = generation->slots[position % SIGNATURES_MAX];
		left &= left - 1;
		if (!has_payload(&match, slot, position))
			continue;
		/* for `explain` it is as if a module said DROP */
		if (!search->explanation && slot & MODULE_MASK << MODULE_SHIFT)
			return ask(ctx, search, &match, slot, word, left);
		reason = judge_signature(search, scratch, slot & SLOT_MASK, 0);
		if (reason) {
			if (search->explanation)
				tell_behind(&match, generation, search->explanation, word, left);
			return reason;
		}
	}
	return REASON_FAULT;
}
