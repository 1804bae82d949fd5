/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A part of abi.h: the flow memory, and those of sources that answered a challenge and of
 * fragments.
 *
 * A memory is a pair of blocked Bloom filters (Putze, Sanders and Singler, 2007): the current
 * generation, which is written, and the one before. A look-up asks both. When the current one is
 * full or old, the next one begins, in place of the last but one. Each word of a block (one cache
 * line) has one half for each generation. A block has the generation number of each half, so no
 * block needs clearing in advance.
 */
#ifndef XDPCTL_ABI_FLOWS_H
#define XDPCTL_ABI_FLOWS_H

enum memory_number {
	MEMORY_FLOWS,
	MEMORY_ANSWERED,
	MEMORY_FRAGMENTS,
	MEMORIES_MAX,
};

enum memory_sizes {
	BLOCK_WORDS = 7,    /* an element has one bit in each */
	BLOCK_BITS = 35,    /* bits of the hash: 5 for each word; the bits above select the block */
	ANSWERED_LOG2 = 14, /* blocks */
	FRAGMENTS_LOG2 = 12,
	GENERATION_SHIFT = 32, /* in memory.state: above it the generation, below how many it has */
	BUDGETS_LOG2 = 14,
};

struct block {
	__u64 words[BLOCK_WORDS]; /* the low half of each is for even generations */
	__u32 generations[2];	  /* the generation of each half */
};

/* Times are CLOCK_MONOTONIC as of the last tick. */
struct memory {
	__u64 state;
	__u64 since_ns;	     /* when this generation began */
	__u64 age_ns;	     /* begin the next one when it is as old */
	__u64 least_ns;	     /* but not before */
	__u64 full;	     /* or when it has so many elements */
	__u64 early;	     /* generations that ended because they were full */
	__u64 cost_ns;	     /* of a new element of one teacher; 0: without a budget */
	__u64 refused;	     /* elements that were beyond a budget */
	__u64 earlier;	     /* elements of the generation before */
	__u32 refused_of[4]; /* the last teacher that was refused, in network order */
	__u32 refused_family;
	__u32 unused;
};

/* What the flow memory says of a packet. */
enum flow_state {
	FLOW_NOT_ASKED, /* the interface is not outside */
	FLOW_UNKNOWN,
	FLOW_KNOWN,
	FLOW_SHAKEN, /* known from this packet on: it acknowledges a SYN-ACK of the inside */
};

/* Whether the flow memory is asked for packets of an interface. */
enum asking {
	ASKS_NOT,
	ASKS,
	ASKS_NOT_ASYMMETRIC, /* what goes out does not pass here, so all flows would be unknown */
};

struct port {
	__u32 asks; /* enum asking */
	__u32 unused;
};

/* SYNs that were challenged; one record per CPU. */
struct challenge {
	__u64 key[2];
};

struct challenge_counts {
	__u64 sent;
	__u64 withheld; /* not answered: too many of one network, with IP options, or no question */
	__u64 right; /* sources that have proved that they exist, and are remembered from then on */
};

#endif
