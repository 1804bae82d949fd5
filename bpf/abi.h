/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel side and user space agree on: xdpctl/wire.py states the same structs and
 * enums once more in Python, and tests/unit/test_wire.py has the host's compiler compare them.
 * Addresses are in network order, everything else in host order.
 */
#ifndef XDPCTL_ABI_H
#define XDPCTL_ABI_H

#include <linux/types.h>

enum action {
	ACTION_NONE,
	ACTION_ACCEPT,
	ACTION_DROP,
};

enum mode {
	MODE_ENFORCE,
	MODE_MONITOR,
};

/* Why a packet left as it did. Every packet is counted under exactly one of these. */
enum reason {
	REASON_NONE,		/* not decided yet; never counted */
	REASON_NO_RULE,		/* pass: nothing covers the source */
	REASON_ACCEPTED,	/* pass: a rule accepts the source */
	REASON_PROTECTED,	/* pass: the source is in a protected prefix */
	REASON_LINK,		/* pass: not IP (ARP, LLDP, LACP, STP, ...) */
	REASON_NEIGHBOUR,	/* pass: IPv6 neighbour discovery, RFC 4861 */
	REASON_NEVER_ROUTED,	/* pass: to 224.0.0.0/24 or ff02::/16 */
	REASON_DHCP,		/* pass: DHCP from or to an unset or link-local address */
	REASON_BYPASS,		/* pass: the bypass switch is on */
	REASON_FAULT,		/* pass: a map did not hold what it must */
	REASON_DROPPED,		/* drop: a rule drops the source */
	REASON_TRUNCATED,	/* drop: the frame ends inside a header */
	REASON_MALFORMED,	/* drop: a version or length field is impossible */
	REASON_VLAN_DEPTH,	/* drop: more than VLAN_DEPTH_MAX tags */
	REASON_EXTENSION_DEPTH, /* drop: more than EXTENSION_DEPTH_MAX extension headers */
	REASON_MAX,
};

enum limit {
	VLAN_DEPTH_MAX = 4,
	EXTENSION_DEPTH_MAX = 8,
	EXPLANATION_SLOTS_MAX = 16,
	SETS_MAX = 64,
	SEARCH4_MAX = 160, /* look-ups and slots met for one packet; beyond is a fault */
	SEARCH6_MAX = 224,
};

/*
 * Slot numbers with a fixed meaning. Rules take theirs from SLOT_FIRST on; sets take those
 * before, accepting ones from below and dropping ones from above.
 */
enum slot_number {
	SLOT_NONE,
	SLOT_PROTECTED,
	SLOT_SETS,
	SLOT_FIRST = SLOT_SETS + SETS_MAX,
};

/*
 * What stands in front of the cells, one-sided: a bit too much costs a look-up, a missing one
 * would lose an entry.
 */
enum front {
	FRONT_UNITS_LOG2 = 24, /* a bit for each IPv4 /24, or hashed IPv6 /32: something is here */
	NEAR4_UNITS_LOG2 = 18, /* what lies near: for each IPv4 /18, */
	NEAR6_UNITS_LOG2 = 16, /* and for each hashed IPv6 /32 */
	SINGLE6_UNITS_LOG2 = 25, /* a bit for each hashed IPv6 address: it may be listed */
};

/*
 * The lengths of the prefixes that touch a unit, as bits; the longest is the lowest. Length 0 has
 * none: control.whole tells of it. Of single addresses, IPv4 has their hashes as bits, IPv6 one bit
 * that some are listed.
 */
struct near4 {
	__u32 lengths; /* 31 to 1 */
	__u32 singles;
};

struct near6 {
	__u64 longer;  /* 127 to 64 */
	__u64 shorter; /* 63 to 1 */
};

enum near {
	NEAR6_SINGLES = 63, /* in `shorter`, where length 0 would be */
};

/*
 * A cell leads from a prefix to what is listed there, in one word that is stored whole. IPv4:
 * address and length, then a value. IPv6: a hash of both, then the number of an entry6.
 * A value is a slot number, or with VALUE_LIST the number of a node.
 */
enum cell {
	CELL_VALUE_BITS = 26,
	CELL_KEY_BITS = 38,
	VALUE_LIST = 1 << 25,
	BUCKET_CELLS = 8,
};

struct bucket {
	__u64 cells[BUCKET_CELLS];
};

struct entry6 {
	__u8 address[16];
	__u32 length;
	__u32 value;
};

/* Of what is listed on the same prefix: one slot, then the value that leads to the others. */
struct node {
	__u32 slot;
	__u32 next;
};

/* One word, stored and loaded whole: a packet never sees half of a change. */
struct slot {
	__u64 word; /* action, mode, and when it ends: CLOCK_MONOTONIC in ns, 0 for never */
};

/* The low bits of the word; what is left is the time, a multiple of 8 ns. */
enum word {
	WORD_ACTION = 3,
	WORD_MODE_SHIFT = 2,
	WORD_FLAGS = 7,
};

struct hits {
	__u64 packets;
	__u64 bytes;
};

/* The arrays are by family: IPv4, IPv6. */
struct control {
	__u32 bypass;
	__u32 sampled;	       /* the slot whose packets are sampled, or SLOT_NONE */
	__u64 mask;	       /* of its packets, those whose count has none of these bits */
	__u64 seeds[3];	       /* odd, random, never changed: no sender can aim at a bucket */
	__u32 buckets_log2[2]; /* n: the buckets in use are 2^n from number 2^n on */
	__u32 whole[2];	       /* 0.0.0.0/0, ::/0 may be listed */
};

/* Where a packet of the sampled slot came from; IPv4 in the first four bytes. */
struct sample {
	__u8 source[16];
	__u32 slot;
	__u32 family;
};

/* What `explain` found: the slots that matched, in the order they were met. */
struct explanation {
	__u32 reason;
	__u32 slots_met;
	__u32 slots[EXPLANATION_SLOTS_MAX];
};

#endif
