/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel side and user space agree on: xdpctl/abi/structs.py states the same structs and
 * enums once more in Python, and tests/unit/abi/test_structs.py has the host's compiler compare
 * them. Addresses are in network order, everything else in host order.
 */
#ifndef XDPCTL_ABI_H
#define XDPCTL_ABI_H

#include <linux/types.h>

enum action {
	ACTION_NONE,
	ACTION_ACCEPT,
	ACTION_DROP,
	ACTION_LIMIT, /* of signatures only: drop what comes faster than its rate */
};

enum mode {
	MODE_ENFORCE,
	MODE_MONITOR,
};

/* Why a packet left as it did. Every packet is counted under exactly one of these. */
enum reason {
	REASON_NONE,	     /* not decided yet; never counted */
	REASON_NO_RULE,	     /* pass: nothing covers the source */
	REASON_ACCEPTED,     /* pass: a rule accepts it */
	REASON_PROTECTED,    /* pass: the source is in a protected prefix */
	REASON_LINK,	     /* pass: not IP (ARP, LLDP, LACP, STP, ...) */
	REASON_NEIGHBOUR,    /* pass: IPv6 neighbour discovery, RFC 4861 */
	REASON_NEVER_ROUTED, /* pass: to 224.0.0.0/24 or ff02::/16 */
	REASON_DHCP,	/* pass: DHCP that a client cannot do without, see link.h, exempt.bpf.h */
	REASON_CONTROL, /* pass: a control protocol that only a neighbour can have sent */
	REASON_BYPASS,	/* pass: the bypass switch is on */
	REASON_FAULT,	/* pass: a map did not hold what it must */
	REASON_ESTABLISHED, /* pass: a rule spares this host's TCP connections, and it is of one */
	REASON_DROPPED,	    /* drop: a rule drops the source */
	REASON_SIGNATURE,   /* drop: a signature matches */
	REASON_LIMITED,	    /* drop: faster than a limit */
	REASON_TRUNCATED,   /* drop: the frame ends inside a header */
	REASON_MALFORMED,   /* drop: a version or length field is impossible */
	REASON_VLAN_DEPTH,  /* drop: more than VLAN_DEPTH_MAX tags */
	REASON_EXTENSION_DEPTH, /* drop: more than EXTENSION_DEPTH_MAX extension headers */
	REASON_TINY_FRAGMENT,	/* drop: a fragment that hides or overwrites a TCP header */
	REASON_SPOOFED,		/* drop: it came from outside, and its source cannot be there */
	REASON_MAX,
	REASON_BITS = 8, /* above them: whether connections are spared, and which slot decided */
	REASON_SPARE = 1 << REASON_BITS,
	REASON_SLOT_SHIFT = REASON_BITS + 1,
};

/* The programs behind the first one, each with a verifier's budget of its own. */
enum stage {
	STAGE_SIGNATURES,
	STAGE_CONNECTION,
	STAGE_CAPTURE,
	STAGE_MONITOR,
	STAGES_MAX,
};

/* What the next stage has to know of a packet, of each CPU. */
struct pending {
	__u32 reason;
	__u32 slot;
	__u64 lost; /* captures for which there was no room */
	__u64
	    monitored; /* the last MONITORED_A_PACKET slots in monitor mode, MONITORED_BITS each */
	__u32 decided; /* by the stage before, or REASON_NONE: ask signatures */
	__u32 unused;
};

enum constants {
	VLAN_DEPTH_MAX = 4,
	EXTENSION_DEPTH_MAX = 8,
	EXPLANATION_SLOTS_MAX = 16,
	SETS_MAX = 64,
	SEARCH4_MAX = 112, /* look-ups and slots met for one packet; beyond is a fault */
	SEARCH6_MAX = 195,
	SIGNATURES_MAX = 1024,
	SIGNATURE_STEPS_MAX = 64, /* words of the bitmap and signatures met for one packet */
};

/*
 * Slot numbers with a fixed meaning: SIGNATURES_MAX are of signatures, SETS_MAX of sets,
 * accepting ones from below and dropping ones from above; rules on a source have the rest.
 */
enum slot_number {
	SLOT_NONE,
	SLOT_PROTECTED,
	SLOT_NEIGHBOUR, /* protected, and behind an outside interface: a gateway, a resolver, a peer
			 */
	SLOT_SIGNATURES,
	SLOT_SETS = SLOT_SIGNATURES + SIGNATURES_MAX,
	SLOT_FIRST = SLOT_SETS + SETS_MAX,
};

/*
 * On which side of an outside interface a source is (RFC 2827). What is not known may be anywhere.
 */
enum side {
	SIDE_UNKNOWN,
	SIDE_INSIDE,
	SIDE_OUTSIDE,
	SIDES_MAX = 8192,
	SIDE_UNITS_LOG2 =
	    16, /* a bit for each IPv4 /16, or hashed IPv6 /32: a side is known here */
};

struct side_key4 {
	__u32 length;
	__u8 address[4];
};

struct side_key6 {
	__u32 length;
	__u8 address[16];
};

union side_key {
	struct side_key4 ipv4;
	struct side_key6 ipv6;
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

/* The low bits of the word; what is left is the time, a multiple of 16 ns. */
enum word {
	WORD_ACTION = 3,
	WORD_MONITOR = 4,
	WORD_SPARE = 8, /* packets of this host's established TCP connections pass */
	WORD_FLAGS = 15,
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
	__u32 armed;	       /* signatures: 0 for none, else 1 + the number of the generation */
	__u32 captured;	       /* bits of the reasons whose packets are captured */
	__u32 capture_slot;    /* only what this slot decided, or SLOT_NONE */
	__u32 unused;
	__u64 capture_mask; /* of a reason's packets, those whose count has none of these bits */
};

/*
 * What signatures look at in a packet (FlowSpec components, RFC 8955 and 8956, and two more). A
 * field that a packet does not have has the value behind the last one it could have. Addresses
 * are words of 16 bits, the highest first; IPv4 has two.
 */
enum field {
	FIELD_PROTOCOL,
	FIELD_SOURCE_PORT,
	FIELD_DESTINATION_PORT,
	FIELD_ICMP_TYPE,
	FIELD_ICMP_CODE,
	FIELD_TCP_FLAGS, /* 12 bits: those of the byte before, too (RFC 8955 section 4.2.2.9) */
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

/* FlowSpec's bits of FIELD_FRAGMENT (RFC 8955 section 4.2.2.12). */
enum fragment {
	FRAGMENT_DONT = 1,
	FRAGMENT_LATER = 2,
	FRAGMENT_FIRST = 4,
	FRAGMENT_LAST = 8,
};

/*
 * A value of a field leads to a class: which signatures take that value, as a bitmap, and above
 * its number which words of the bitmap are not 0.
 */
enum class {
	CLASS_BITS = 16,
	BITMAP_WORDS = SIGNATURES_MAX / 64,
	BITMAPS_MAX = 32768,   /* of a generation */
	CLASSES_MAX = 3 << 20, /* of a generation: every field of both families has room */
};

/*
 * All of a generation are one value of the map, so that they are looked up once a packet. The map
 * is declared with values of 1 / BITMAPS_MAX their size, since clang would write so much into its
 * output, and the loader makes it with the right one.
 */
struct bitmap {
	__u64 words[BITMAP_WORDS];
};

/* Two neighbours: an array's values lie 8 bytes apart. */
struct classes {
	__u32 of[2];
};

/* Where the classes of a field begin. */
struct lookup {
	__u32 classes;
	__u32 field;
};

/* The fields that signatures of a family look at, those that most depend on first. */
struct family {
	__u32 whole; /* the class of all signatures of this family */
	__u32 lookups_used;
	__u32 port; /* where the classes of FlowSpec's `port` begin, which takes either port */
	__u32 port_used;
	struct lookup lookups[FIELDS_MAX];
};

/* A whole set of signatures, in order. A packet meets one generation or the other. */
struct generation {
	struct family families[2];   /* by family: IPv4, IPv6 */
	__u32 slots[SIGNATURES_MAX]; /* of each signature */
};

/*
 * GCRA (ITU-T I.371): a packet is within the limit unless it comes more than `burst_ns` before
 * its bucket's time, which each one that is within moves on by what it costs.
 */
struct rate {
	__u64 cost; /* ns for a packet, or for a byte, times 2^RATE_COST_SHIFT */
	__u64 burst_ns;
	__u32 by_bytes;
	__u32 by_source; /* 0: one bucket for all, else one for each source */
	__u32 mask4;	 /* the bits of a source that tell buckets apart */
	__u32 salt;	 /* so that limits have buckets of their own, and new ones after a change */
	__u64 mask6;	 /* of its first 64 */
};

enum gcra {
	RATE_COST_SHIFT = 20,
	BUCKETS_LOG2 = 19, /* for sources, shared by those whose hashes agree */
	BUCKET_STRIDE = 8, /* a limit's own has a cache line for itself */
	BUCKET_DHCP = (1 << BUCKETS_LOG2) + SIGNATURES_MAX * BUCKET_STRIDE,
	BUCKETS_MAX = BUCKET_DHCP + BUCKET_STRIDE,
};

/* Where a packet of the sampled slot came from; IPv4 in the first four bytes. */
struct sample {
	__u8 source[16];
	__u32 slot;
	__u32 family;
};

/* What slots in monitor mode would have hit, of those that are listed to be looked at. */
enum monitoring {
	STATISTICS_MAX = 1024,
	MONITORED_A_PACKET = 3,
	MONITORED_BITS = 21, /* more than a slot's number has */
	SKETCH_LOG2 = 9,
	SKETCH_CELLS = 1 << SKETCH_LOG2,
	GLIMPSES = 128,
	CONNECTIONS_MAX = 4096,
};

/* Ports are in host order, 0 if there are none. */
struct glimpse {
	__u32 source[4]; /* network order; IPv4 in the first word */
	__u16 source_port;
	__u16 destination_port;
	__u8 family;
	__u8 protocol;
	__u16 unused;
};

struct monitor_statistics {
	__u64 looked;
	__u64 established; /* of this host's TCP connections */
	__u64 accepted;	   /* that a wider prefix accepts or protects */
	__u8 sources[SKETCH_CELLS];
	__u8 destinations[SKETCH_CELLS];
	struct glimpse glimpses[GLIMPSES];
};

/* A TCP connection of this host that a slot would have hit; the value counts its packets. */
struct connection {
	__u32 slot;
	__u16 source_port;
	__u16 destination_port;
	__u32 source[4];
	__u32 destination[4];
	__u32 family;
	__u32 unused;
};

enum captured {
	CAPTURE_BYTES = 256, /* of a packet, at the most */
};

/* The beginning of one packet, and what became of it. */
struct capture {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 interface;
	__u32 length; /* of the frame */
	__u32 reason;
	__u32 slot; /* what decided, or SLOT_NONE */
	__u8 head[CAPTURE_BYTES];
};

/* What `explain` found: the slots that matched, in the order they were met. */
enum told {
	TOLD = 1 << 30, /* in what `explain` returns, beside the reason and its slot */
};

struct explanation {
	__u32 reason;
	__u32 slots_met;
	__u32 slots[EXPLANATION_SLOTS_MAX];
	__u32 behind_met; /* signatures that match too, and were not asked */
	__u32 behind[EXPLANATION_SLOTS_MAX];
};

#endif
