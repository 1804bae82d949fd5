/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A part of abi.h: trials. A rule on trial lets a few of the flows pass that it would drop: its
 * control group, which shows whom it hits, and flows that come again after a pause, as people's do.
 */
#ifndef XDPCTL_ABI_TRIALS_H
#define XDPCTL_ABI_TRIALS_H

enum trials {
	TRIED_LOG2 = 14,
	TRIED_PACKETS = 6,    /* of a chosen flow that pass, until it is known */
	TRIED_SECONDS = 8,    /* for which a chosen flow keeps its place */
	SEEN_LOG2 = 18,	      /* flows whose last dropped packet is remembered */
	PAUSE_LEAST_MS = 150, /* between two packets of a flow that comes again */
	PAUSE_MOST_MS = 6000,
};

enum chosen {
	CHOSEN_NOT,
	CHOSEN_BY_SHARE, /* by the keyed hash of its flow: an unbiased sample */
	CHOSEN_AGAIN,	 /* it came again after a pause */
};

/* Of one signature; user space writes the upper half. Times are CLOCK_MONOTONIC. */
struct trial {
	__u32 number;	     /* differs for each trial; 0: none */
	__u32 share;	     /* of flows, times 2^32 */
	__u64 share_cost_ns; /* of a flow of the share */
	__u64 again_cost_ns; /* of a flow that came again; 0: none passes */
	__u64 share_ns;	     /* buckets, as of limits */
	__u64 again_ns;
	__u64 passed; /* packets */
};

/* A flow that passes. */
struct tried {
	__u64 hash; /* as in the flow memory */
	__u64 since_ns;
	__u32 trial;
	__u32 source; /* a hash of its address, of IPv6 of its /64 */
	__u16 packets;
	__u8 chosen;
	__u8 protocol;
	__u32 unused;
};

#endif
