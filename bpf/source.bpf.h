/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The decision by the source of a packet that comes in, in the table of prefixes. */

/*
 * Exemptions matter only if something is listed near the source, so they are read only then. The
 * results are hidden from the verifier, which would otherwise explore the table for each case.
 */
static __always_inline void read_exemptions(struct xdp_md *ctx, struct search *search,
					    struct packet *packet)
{
	search->exempt = may_be_exempt(ctx, packet) ^ search->opaque_zero;
	asm volatile("" : "+r"(search->exempt)); /* computed here, not later */
	if (search->outside) {
		search->neighbourly =
		    is_of_neighbour(ctx, search->control, packet) ^ search->opaque_zero;
		asm volatile("" : "+r"(search->neighbourly));
		search->of_inside = is_error_of_inside(packet) ^ search->opaque_zero;
		asm volatile("" : "+r"(search->of_inside));
	}
}

static __always_inline u32 source_ipv4(struct xdp_md *ctx, struct search *search,
				       struct packet *packet)
{
	u32 address = host32(search->source[0]);
	struct near4 *near = near_of4(address);

	if (!is_near4(near, address))
		return REASON_NO_RULE;
	read_exemptions(ctx, search, packet);
	return walk4(search, search->control, near, address);
}

static __always_inline u32 source_ipv6(struct xdp_md *ctx, struct search *search,
				       struct packet *packet)
{
	if (!is_near6(host32(search->source[0])))
		return REASON_NO_RULE;
	read_exemptions(ctx, search, packet);
	return walk6(search, search->control, search->opaque_zero, search->source);
}
