/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Another tool's program, which gets what passes on a shared interface. */

#define SHARED "0x64776c66" /* which the loader replaces by 0 or 1 */

/*
 * Whether another tool's program may come after the filter. The loader sets the number, so that the
 * verifier removes what is not needed.
 */
static __always_inline u64 is_shared(void)
{
	u64 shared;

	asm volatile("%0 = " SHARED " ll" : "=r"(shared));
	return shared;
}

/* What passes goes on to the next program, if there is one. */
static __always_inline int pass_on(struct xdp_md *ctx, int verdict)
{
	if (verdict == XDP_PASS && is_shared())
		stages.call(ctx, STAGE_NEXT);
	return verdict;
}
