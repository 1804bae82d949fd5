/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A part of abi.h: how services inside serve, counted where their packets go out. A service is an
 * address, a protocol and a port.
 */
#ifndef XDPCTL_ABI_SERVED_H
#define XDPCTL_ABI_SERVED_H

enum serving {
	SERVED_LOG2 = 16,  /* services */
	AWAITED_LOG2 = 13, /* flows that await an answer of one kind */
	WAITS = 8,	   /* classes of waits */
	WAIT_LOG2 = 20, /* ns: the end of the first one; the next ones end at four times as much */
};

/* A service, until another one takes its cell, which begins anew. */
struct served {
	__u32 tag;	       /* of its hash, never 0 */
	__u32 count;	       /* connections over TCP that were taken up, or answers over UDP */
	__u64 last;	       /* over UDP: the flow that was answered last */
	__u32 syn_acks[WAITS]; /* SYNs by their wait for the SYN-ACK */
	__u32 data[WAITS];     /* connections by their wait for the first data, from the ACK on */
};

#endif
