/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many packets are copied to user space. Of a large stratum a smaller share is copied than of a
 * small one, so a small attack is seen beside a large one. The counts are of one CPU and one epoch.
 */
#ifndef XDPCTL_THIN_H
#define XDPCTL_THIN_H

#include "abi.h"

#define PAGE_SIZE	65536 /* the largest of all architectures */
#define HEADS_OUT_PAGES 16

#define NEVER (~0U) /* a mask with which nothing is observed or captured */

/*
 * How many of the packets that come here this one stands for; 0 if it is not copied. In an epoch a
 * CPU copies all of its first packets, then fewer and fewer, and at last none: if nobody moves the
 * epoch on, nobody reads the ring.
 */
static __always_inline u32 thin(struct control *control, struct pace *pace, u32 every)
{
	u32 seen, mask;

	if (pace->epoch != control->epoch) {
		pace->epoch = control->epoch;
		pace->seen = 0;
	}
	seen = pace->seen;
	if (seen >= HEADS_SEEN_MAX) {
		pace->lost += every;
		return 0;
	}
	pace->seen = seen + 1;
	mask = seen >> HEADS_ALL_LOG2;
	mask |= mask >> 1;
	mask |= mask >> 2;
	mask &= HEADS_THIN_MOST - 1;
	return seen & mask ? 0 : mask + 1;
}

/*
 * How many packets a head stands for, where each packet that comes here stands for `weight`; 0 if
 * this one is not copied. The first 2^STRATUM_LOG2 packets of a stratum are all copied. Later ones
 * are copied by chance, so that each doubling of the stratum adds about as many.
 */
static __always_inline u32 stratify(struct stratum *stratum, u32 epoch, u32 weight)
{
	u32 step;

	if (stratum->epoch != epoch) {
		stratum->epoch = epoch;
		stratum->packets = 0;
	}
	stratum->packets += weight;
	step = stratum->packets >> STRATUM_LOG2;
	if (step <= weight)
		return weight;
	return ((u64)bpf_get_prandom_u32() * step) >> 32 < weight ? step : 0;
}

#endif
