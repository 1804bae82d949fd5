/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The programs for BPF_PROG_TEST_RUN: the same decisions with the same maps, without counting. */

static __always_inline int explain_source(struct xdp_md *ctx, int outside)
{
	u32 zero = 0;
	struct explanation *explanation = explanations.lookup(&zero);
	struct search search = begin(ctx, explanation);

	if (!explanation)
		return XDP_ABORTED;
	explanation->slots_met = 0;
	explanation->behind_met = 0;
	search.outside = outside;
	if (outside && is_spoofed(ctx))
		return leave_early(ctx, &search, REASON_SPOOFED);
	return filter(ctx, &search);
}

int explain(struct xdp_md *ctx)
{
	return explain_source(ctx, 0);
}

int explain_outside(struct xdp_md *ctx)
{
	return explain_source(ctx, 1);
}

int explain_signatures(struct xdp_md *ctx)
{
	u32 zero = 0;
	struct explanation *explanation = explanations.lookup(&zero);
	struct search search = begin(ctx, explanation);

	if (!explanation)
		return XDP_ABORTED;
	/* not as parsed: packets may come between two stages of this program */
	return leave(ctx, &search, by_signature(ctx, &search), 0);
}

int explain_connection(struct xdp_md *ctx)
{
	u32 zero = 0;
	struct explanation *explanation = explanations.lookup(&zero);
	struct search search = begin(ctx, explanation);

	if (!explanation)
		return XDP_ABORTED;
	return leave(ctx, &search, by_connection(ctx, &search), 0);
}
