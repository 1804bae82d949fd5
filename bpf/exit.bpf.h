/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a packet leaves: counted once, observed if it is sampled, or handed to the next stage. */

/*
 * Whether the packet with this number is one of those sampled, which are about one in mask + 1.
 * They come at random distances, so that no source is left out if sources take turns.
 */
static __always_inline int is_sampled(u64 number, u64 mask)
{
	number *= SPREAD;
	number ^= number >> 32;
	return !(number * SPREAD >> 32 & mask);
}

/* `parsed`: a stage has parsed the packet, and left it in the scratch memory. */
static __always_inline void set_pending(u32 reason, u32 slot, u32 knows, u32 parsed)
{
	u32 zero = 0;
	struct pending *asked = pending.lookup(&zero);

	if (asked) {
		asked->reason = reason;
		asked->slot = slot;
		asked->knows = knows;
		asked->parsed = parsed;
	}
}

static __always_inline void defer_to_monitor(u64 monitored, u32 decided, u32 parsed)
{
	u32 zero = 0;
	struct pending *asked = pending.lookup(&zero);

	if (asked) {
		asked->monitored = monitored;
		asked->decided = decided;
		asked->parsed = parsed;
	}
}

/*
 * The reason and the deciding slot. This is no valid XDP action, so the frame goes nowhere.
 * Concurrent runs share one explanation record, so the return value does not depend on it.
 */
static __always_inline int explain_return(struct explanation *explanation, u32 reason, u32 slot)
{
	u32 passes = reason < REASON_DROPPED;

	explanation->reason = reason;
	return (passes ? TOLD : (u32)TOLD << 1) | slot << REASON_BITS | reason;
}

/* What happens to a packet that was counted. */
static __always_inline int leave_with(struct xdp_md *ctx, u32 reason, u32 slot)
{
	if (reason == REASON_CHALLENGED) {
		set_pending(reason, slot, 0, 0);
		stages.call(ctx, STAGE_ANSWER);
	}
	return reason >= REASON_DROPPED ? XDP_DROP : XDP_PASS;
}

static __always_inline int count(struct xdp_md *ctx, struct control *control, u32 reason, u32 slot,
				 u64 bytes)
{
	struct hits *counter = counters.lookup(&reason);

	if (counter) {
		add(counter, bytes);
		if (is_sampled(counter->packets, control->observed[reason % REASONS])) {
			set_pending(reason, slot, 0, 0);
			stages.call(ctx, STAGE_OBSERVE);
		}
	}
	return leave_with(ctx, reason, slot);
}

/*
 * The exit, unless another stage has to decide. `parsed`: a stage has parsed the packet, so that
 * one need not parse it again.
 */
static __always_inline int leave(struct xdp_md *ctx, struct search *search, u32 decided, u32 parsed)
{
	u32 reason = decided & (REASON_SPARE - 1), slot = decided >> REASON_SLOT_SHIFT;

	if (search->sample)
		sample(search);
	if (search->monitored && !search->explanation) {
		defer_to_monitor(search->monitored, decided, parsed);
		stages.call(ctx, STAGE_MONITOR);
		decided = reason = REASON_FAULT;
	}
	if (decided & REASON_SPARE) {
		set_pending(reason, slot, decided & REASON_KNOWS, parsed);
		stages.call(ctx, STAGE_CONNECTION);
		reason = REASON_FAULT;
	}
	if (search->explanation)
		return explain_return(search->explanation, reason, slot);
	return count(ctx, search->control, reason, slot, search->bytes);
}

/* The exit of a packet that is decided before its source is looked up. */
static __always_inline int leave_early(struct xdp_md *ctx, struct search *search, u32 reason)
{
	if (search->explanation)
		return explain_return(search->explanation, reason, SLOT_NONE);
	return count(ctx, search->control, reason, SLOT_NONE, frame_length(ctx));
}
