/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A rate limit (generic cell rate algorithm). A bucket holds the time at which it will be empty. */
#ifndef XDPCTL_GCRA_H
#define XDPCTL_GCRA_H

#define GCRA_ATTEMPTS 4 /* of adding to a bucket, which other CPUs may change meanwhile */

/*
 * Whether a packet exceeds a bucket's rate. If not, its cost in ns is added to the bucket, if
 * `adds`.
 */
static __always_inline int exceeds_rate(u64 *bucket, u64 now, u64 cost, u64 burst_ns, int adds)
{
	u64 held;

#pragma unroll
	for (int attempt = 0; attempt < GCRA_ATTEMPTS; attempt++) {
		held = *(volatile u64 *)bucket;
		if (held > now + burst_ns)
			return 1;
		if (!adds)
			return 0;
		if (__sync_val_compare_and_swap(bucket, held, (held < now ? now : held) + cost) ==
		    held)
			return 0;
	}
	return 1;
}

#endif
