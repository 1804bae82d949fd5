/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A part of abi.h: what signatures match, their tables, and what limits allow. */
#ifndef XDPCTL_ABI_MATCHES_H
#define XDPCTL_ABI_MATCHES_H

/*
 * The fields of a packet that signatures match: the FlowSpec components (RFC 8955 and 8956), TTL
 * and VLAN. A field that a packet does not have gets the value after the largest valid one.
 * Addresses are split into 16-bit words, the highest first; IPv4 has two.
 */
enum field {
	FIELD_PROTOCOL,
	FIELD_SOURCE_PORT,
	FIELD_DESTINATION_PORT,
	FIELD_ICMP_TYPE,
	FIELD_ICMP_CODE,
	FIELD_TCP_FLAGS, /* 12 bits, 4 of them before the flags byte (RFC 8955 section 4.2.2.9) */
	FIELD_PACKET_LENGTH,
	FIELD_DSCP,
	FIELD_FRAGMENT,
	FIELD_FLOW_LABEL,
	FIELD_TTL,
	FIELD_VLAN, /* of the outermost tag */
	FIELD_SOURCE = 16,
	FIELD_DESTINATION = 24,
	FIELDS_MAX = 32,
};

/* The bits of FIELD_FRAGMENT, as in FlowSpec (RFC 8955 section 4.2.2.12). */
enum fragment {
	FRAGMENT_DONT = 1,
	FRAGMENT_LATER = 2,
	FRAGMENT_FIRST = 4,
	FRAGMENT_LAST = 8,
};

/*
 * Each value of a field has a class: the number of a bitmap of the signatures that match the value,
 * and above the number a summary with a bit for each non-zero word of the bitmap.
 */
enum class {
	CLASS_BITS = 16,
	BITMAP_WORDS = SIGNATURES_MAX / 64,
	BITMAPS_MAX = 32768,   /* per generation */
	CLASSES_MAX = 3 << 20, /* per generation: enough for every field of both families */
};

/* Bytes of the payload of TCP or UDP that a signature compares: up to two windows. */
enum payload_size {
	PAYLOAD_BYTES = 64, /* only the first ones are compared */
	PAYLOAD_WINDOWS = 2,
	WINDOW_BYTES = 8,
	HAS_PAYLOAD = 1 << 30, /* in generation.slots: the signature compares bytes, too */
};

/* Programs of one's own, that signatures ask. In generation.slots, above the slot: */
enum module_sizes {
	MODULES_MAX = 64,
	MODULE_SHIFT = 16, /* 1 + the number of the module that the signature asks; 0: none */
	MODULE_MASK = 127,
	SLOT_MASK = (1 << MODULE_SHIFT) - 1,
	/* a program that asks a module alone returns this, no XDP action, and above it the verdict
	 */
	ASKED = 1 << 12,
	ASKED_SHIFT = 13,
};

/* What a module says; bpf/module.h has the names that it uses. */
enum module_verdict {
	MODULE_PASS = 1,
	MODULE_DROP,
	MODULE_CHALLENGE,
};

/* What a module did, by CPU; see bpf/module.h. */
struct module_counts {
	__u64 packets;
	__u64 dropped;
	__u64 challenged;
	__u64 nonsense; /* no verdict that there is */
	__u64 timed;	/* packets */
	__u64 timed_ns;
	__u32 late;  /* of the packets that are timed now: those beyond the budget */
	__u32 ended; /* it was too slow, and is not asked any more */
};

/* A window without bits in its mask is not compared. */
struct payload {
	__u64 value[PAYLOAD_WINDOWS]; /* bytes in the order of the packet */
	__u64 mask[PAYLOAD_WINDOWS];
	__u32 at[PAYLOAD_WINDOWS];
	__u32 least;	 /* bytes that the payload must have */
	__u32 differing; /* windows, as bits, of which a packet must have other bytes */
};

/*
 * All bitmaps of a generation are one value of the map, so that one look-up per packet is enough.
 * The map is declared with values 1 / BITMAPS_MAX of that size, because clang would write the full
 * size into its output; the loader creates the map with the full size.
 */
struct bitmap {
	__u64 words[BITMAP_WORDS];
};

/* Two adjacent classes per value, because the values of an array are 8 bytes apart. */
struct classes {
	__u32 of[2];
};

/* A field, and the index of the first of its classes. */
struct lookup {
	__u32 classes;
	__u32 field;
};

/* The fields that signatures of a family match, beginning with those that most depend on. */
struct family {
	__u32 whole; /* the class of all signatures of this family */
	__u32 lookups_used;
	__u32 port; /* first class of FlowSpec's `port`, which matches either port */
	__u32 port_used;
	__u32 payload_used; /* whether one of them has HAS_PAYLOAD */
	__u32 unused;
	struct lookup lookups[FIELDS_MAX];
};

/* All signatures, in order. A packet uses exactly one of the two generations. */
struct generation {
	struct family families[2];   /* by family: IPv4, IPv6 */
	__u32 slots[SIGNATURES_MAX]; /* the slot of each signature, its module, and HAS_PAYLOAD */
};

/*
 * GCRA (ITU-T I.371): a packet exceeds the limit if it arrives more than `burst_ns` before the
 * bucket's time. Each packet within the limit moves the bucket's time forward by its cost.
 */
struct rate {
	__u64 cost; /* ns per packet or per byte, times 2^RATE_COST_SHIFT */
	__u64 burst_ns;
	__u32 by_bytes;
	__u32 by_address; /* 0: one bucket for all, else one for each address of those below */
	__u32 source4;	  /* the bits of an IPv4 source that select the bucket */
	__u32 destination4;
	__u64 source6; /* the same for the first 64 bits of an IPv6 source */
	__u64 destination6[2];
	__u32 salt;  /* gives each limit its own buckets, and new ones after a change */
	__u32 final; /* a packet within the limit is not matched against later ones */
};

enum gcra {
	RATE_COST_SHIFT = 20,
	BUCKETS_LOG2 = 19, /* buckets of addresses; those with equal hashes share one */
	BUCKET_STRIDE = 8, /* the single bucket of a limit has a cache line of its own */
	BUCKET_DHCP = (1 << BUCKETS_LOG2) + SIGNATURES_MAX * BUCKET_STRIDE,
	BUCKETS_MAX = BUCKET_DHCP + BUCKET_STRIDE,
};

#endif
