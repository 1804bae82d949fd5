/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet that a rule would drop passes if it belongs to a connection or a known flow that the
 * rule spares, or to a flow that is tried.
 */

/* Signatures apply to a known flow that a rule or a set of its source spares. */
static __always_inline void then_signatures(struct xdp_md *ctx, struct search *search,
					    struct scratch *scratch, u32 slot)
{
	if (slot - SLOT_SIGNATURES < SIGNATURES_MAX || !search->control->armed)
		return;
	scratch->spared[!!search->explanation] = slot;
	stages.call(ctx, STAGE_SIGNATURES);
	scratch->spared[!!search->explanation] = 0; /* it failed: no signature is left */
}

/* Whether a packet belongs to a known flow. A proof is remembered, and noted for its head. */
static __always_inline int known_here(struct xdp_md *ctx, struct search *search,
				      struct scratch *scratch)
{
	enum flow_state state =
	    flow_of(ctx, search->control, &scratch->packet, !search->explanation);

	if (!search->explanation)
		scratch->shaken = state == FLOW_SHAKEN;
	return state >= FLOW_KNOWN;
}

/* Why a packet passes although a rule would drop it; REASON_NONE if it does not. */
static __always_inline enum reason spared(struct xdp_md *ctx, struct search *search,
					  struct scratch *scratch, struct pending *asked,
					  u32 before)
{
	if (asked->knows && before)
		return REASON_KNOWN;
	if (asked->knows && asks_flows() && known_here(ctx, search, scratch) &&
	    !(is_icmp_error(ctx, &scratch->packet) && errors_exceed(search, &scratch->packet))) {
		if (scratch->packet.fragment == 1 && !search->explanation)
			expect_fragments(ctx, search->control, &scratch->packet);
		return REASON_KNOWN;
	}
	if (established(ctx, &scratch->packet))
		return REASON_ESTABLISHED;
	if (asked->reason == REASON_DROPPED)
		return exempt(ctx, search, scratch);
	return asked->knows && asks_flows() && on_trial(ctx, search, &scratch->packet, asked->slot)
		   ? REASON_TRIAL
		   : REASON_NONE;
}

/* A packet to be dropped passes if it is spared or exempt, and is then not a hit. */
static __always_inline u32 by_connection(struct xdp_md *ctx, struct search *search)
{
	u32 zero = 0, slot, before = 0;
	struct scratch *scratch = scratches.lookup(&zero);
	struct pending *asked = pending.lookup(&zero);
	enum reason why;
	struct hits *hit;

	if (!asked || !scratch || (!asked->parsed && parse_again(ctx, scratch)))
		return REASON_FAULT;
	measure(ctx, search, scratch->packet.end);
	slot = asked->slot;
	if (slot - SLOT_SIGNATURES < SIGNATURES_MAX)
		before = scratch->before[!!search->explanation];
	why = spared(ctx, search, scratch, asked, before);
	if (!why)
		return asked->reason | slot << REASON_SLOT_SHIFT;
	hit = hits.lookup(&slot);
	if (hit && !search->explanation) {
		hit->packets--;
		hit->bytes -= search->bytes;
	}
	if (why == REASON_KNOWN && asked->knows)
		then_signatures(ctx, search, scratch, slot);
	if (why == REASON_KNOWN && before)
		slot = before;
	return why | slot << REASON_SLOT_SHIFT;
}
