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
};

/* Slot numbers with a fixed meaning; rules take the ones from SLOT_FIRST on. */
enum slot_number {
	SLOT_NONE,
	SLOT_PROTECTED,
	SLOT_FIRST,
};

/* Two bits for each unit of address space: a /24 of IPv4, a hashed /32 of IPv6. */
enum front {
	FRONT_EXACT = 1,  /* some exact address of the unit is listed */
	FRONT_PREFIX = 2, /* some prefix touches the unit */
	FRONT4_UNITS_LOG2 = 24,
	FRONT6_UNITS_LOG2 = 22,
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

struct prefix4 {
	__u32 length;
	__u8 address[4];
};

struct prefix6 {
	__u32 length;
	__u8 address[16];
};

/* The length is repeated in the value: a look-up tells only that something matched. */
struct covering {
	__u32 slot;
	__u32 length;
};

struct control {
	__u32 bypass;
	__u32 pad;
};

/* What `explain` found: the slots that matched, in the order they were met. */
struct explanation {
	__u32 reason;
	__u32 slots_met;
	__u32 slots[EXPLANATION_SLOTS_MAX];
};

#endif
