/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structs and constants that the programs and user space share. xdpctl/abi/structs.py defines
 * them again in Python, and tests/unit/abi/test_structs.py compares both with the host's compiler.
 * Addresses are in network order, everything else in host order.
 */
#ifndef XDPCTL_ABI_H
#define XDPCTL_ABI_H

#include <linux/types.h>

enum action {
	ACTION_NONE,
	ACTION_ACCEPT,
	ACTION_DROP,
	/* signatures only: */
	ACTION_LIMIT,	  /* drop packets beyond the signature's rate */
	ACTION_CHALLENGE, /* answer a SYN, and let it pass once its source has shown that it exists
			   */
	ACTION_COOKIES,	  /* answer a SYN to a listener of this host with a SYN cookie */
	ACTION_CHALLENGE_UDP, /* answer a DNS query so that its resolver comes by TCP, and a
			       * query of a game (A2S) with a number; keep QUIC's first packets
			       * out, so that a browser comes by TCP */
	ACTION_OUT, /* sets only: drop what goes out to an address; nothing for what comes in */
};

enum mode {
	MODE_ENFORCE,
	MODE_MONITOR,
};

/* Which packets pass although a rule would drop them. */
enum spare {
	SPARE_NONE,
	SPARE_ESTABLISHED, /* those of this host's TCP connections */
	SPARE_KNOWN,	   /* these, and those of flows in the flow memory */
	SPARE_TRIAL,	   /* these, and flows by which the rule is tried */
};

/* Why a packet was passed or dropped. Every packet is counted under exactly one reason. */
enum reason {
	REASON_NONE,		/* not decided yet; never counted */
	REASON_NO_RULE,		/* pass: no rule, set or signature decides it */
	REASON_ACCEPTED,	/* pass: a rule accepts it */
	REASON_PROTECTED,	/* pass: the source is in a protected prefix */
	REASON_LINK,		/* pass: not IP (ARP, LLDP, LACP, STP, ...) */
	REASON_NEIGHBOUR,	/* pass: IPv6 neighbour discovery, RFC 4861 */
	REASON_NEVER_ROUTED,	/* pass: to 224.0.0.0/24 or ff02::/16 */
	REASON_DHCP,		/* pass: DHCP that a client needs, see link.h and exempt.bpf.h */
	REASON_CONTROL,		/* pass: a control protocol, from a neighbour on the link */
	REASON_BYPASS,		/* pass: the bypass switch is on */
	REASON_FAULT,		/* pass: a map has invalid content */
	REASON_ESTABLISHED,	/* pass: it belongs to a TCP connection that the rule spares */
	REASON_KNOWN,		/* pass: it belongs to a known flow, which the rule spares */
	REASON_TRIAL,		/* pass: the rule is on trial, and measured by this flow */
	REASON_DROPPED,		/* drop: a rule drops the source */
	REASON_MATCHED,		/* drop: a rule on a match */
	REASON_LIMITED,		/* drop: it exceeds a limit */
	REASON_TRUNCATED,	/* drop: the frame ends inside a header */
	REASON_MALFORMED,	/* drop: a version or length field is impossible */
	REASON_VLAN_DEPTH,	/* drop: more than VLAN_DEPTH_MAX tags */
	REASON_EXTENSION_DEPTH, /* drop: more than EXTENSION_DEPTH_MAX extension headers */
	REASON_TINY_FRAGMENT,	/* drop: a fragment that hides or overwrites a TCP header */
	REASON_SPOOFED,		/* drop: from outside, with a source that cannot be there */
	REASON_CHALLENGED,	/* answered: a SYN whose source has to show that it exists */
	REASON_ANSWERED,	/* drop: the right answer to a challenge */
	REASON_MAX,
	REASONS = 32,			 /* size of arrays by reason; a power of two */
	REASON_BITS = 8,		 /* above these bits: two flags, then the deciding slot */
	REASON_SPARE = 1 << REASON_BITS, /* exemptions, and what the rule spares, must be checked */
	REASON_KNOWS = 2 << REASON_BITS, /* with REASON_SPARE: known flows are spared, too */
	REASON_FROM_WORD = 4,		 /* moves WORD_SPARE and WORD_KNOWS to these flags */
	REASON_SLOT_SHIFT = REASON_BITS + 2,
};

/* The programs that the first one tail-calls; the verifier checks each separately. */
enum stage {
	STAGE_NEXT, /* another tool's program; the first, since other versions look for it there */
	STAGE_SIGNATURES,
	STAGE_CONNECTION,
	STAGE_OBSERVE,
	STAGE_MONITOR,
	STAGE_ANSWER,
	STAGE_QUIC,
	STAGES_MAX, /* from here on: modules, in the same program array */
};

/* What the next stage needs to know about a packet; one record per CPU. */
struct pending {
	__u32 reason;
	__u32 slot;
	__u64 lost;	 /* captures lost because the ring was full */
	__u64 monitored; /* MONITORED_A_PACKET slots in monitor mode, MONITORED_BITS each */
	__u32 decided;	 /* verdict of the earlier stage, or REASON_NONE: signatures come next */
	__u16 knows;	 /* whether known flows are spared */
	__u16 parsed;	 /* whether the packet is in the scratch memory */
};

enum constants {
	VLAN_DEPTH_MAX = 4,
	EXTENSION_DEPTH_MAX = 8,
	EXPLANATION_SLOTS_MAX = 16,
	SETS_MAX = 64,
	SEARCH4_MAX = 112, /* look-ups and slots for one packet; more is REASON_FAULT */
	SEARCH6_MAX = 195,
	SIGNATURES_MAX = 1024,
	SIGNATURE_STEPS_MAX = 64, /* bitmap words and signatures for one packet */
};

/*
 * Slot numbers with a fixed meaning. SIGNATURES_MAX slots are for signatures, and SETS_MAX for
 * sets: accepting sets count up from the first, dropping sets count down from the last. Source
 * rules have the slots from SLOT_FIRST on.
 */
enum slot_number {
	SLOT_NONE,
	SLOT_PROTECTED,
	SLOT_NEIGHBOUR, /* protected gateways, resolvers and peers beyond an outside interface */
	SLOT_SIGNATURES,
	SLOT_SETS = SLOT_SIGNATURES + SIGNATURES_MAX,
	SLOT_FIRST = SLOT_SETS + SETS_MAX,
};

/*
 * On which side of an outside interface a source is (RFC 2827). An unknown source may be on either.
 */
enum side {
	SIDE_UNKNOWN,
	SIDE_INSIDE,
	SIDE_OUTSIDE,
	SIDE_MEMBER, /* outside, and a node of the fleet */
	SIDE_IN_USE, /* packets come in for it, so it is inside, too, though nobody said so */
	SIDES_MAX = 8192,
	OUTSIDES_MAX = 15,
	SIDE_UNITS_LOG2 = 16, /* a bit for each IPv4 /16 or hashed IPv6 /32: a side is known */
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
 * Filters that are read before the cells. A superfluous bit costs a look-up; a missing bit would
 * hide an entry.
 */
enum front {
	FRONT_UNITS_LOG2 = 24, /* a bit for each IPv4 /24 or hashed IPv6 /32: set if listed there */
	NEAR4_UNITS_LOG2 = 18, /* a struct near4 for each IPv4 /18; 4 MiB, as much as 6.1 allows */
	NEAR6_UNITS_LOG2 = 16, /* a struct near6 for each hash of an IPv6 /32 */
	SINGLE6_UNITS_LOG2 = 25, /* a bit for each hash of an IPv6 address; 4 MiB, likewise */
};

/*
 * The lengths of the prefixes that overlap a unit, as bits; the lowest bit is the longest prefix.
 * Length 0 has no bit here: see control.whole. IPv4 also has the bits of the unit's /24s, and bits
 * that are selected by the hashes of prefixes that are longer than a unit. IPv6 has one bit that
 * says that single addresses are listed.
 */
struct near4 {
	__u64 front;
	__u32 lengths; /* 31 to 1 */
	__u32 hashes;
};

struct near6 {
	__u64 longer;  /* 127 to 64 */
	__u64 shorter; /* 63 to 1 */
};

enum near {
	NEAR6_SINGLES = 63, /* in `shorter`, where length 0 would be */
};

/*
 * A cell maps a prefix to its value, in one word that is stored at once. IPv4: address and length,
 * then the value. IPv6: a hash of both, then the index of an entry6, which has the value. A value
 * is a slot number, or with VALUE_LIST a node number.
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

/* An element of the list of slots on one prefix: a slot, and the value for the rest of the list. */
struct node {
	__u32 slot;
	__u32 next;
};

/* One word, stored and loaded at once, so a packet never sees a partial change. */
struct slot {
	__u64 word; /* action, mode, and expiry: CLOCK_MONOTONIC in ns, 0 for never */
};

/* Masks of the low bits of the word; the other bits are the expiry, a multiple of 128 ns. */
enum word {
	WORD_ACTION = 7,
	WORD_MONITOR = 8,
	WORD_SPARE = 16, /* packets of this host's established TCP connections pass */
	WORD_KNOWS = 32, /* and those of known flows */
	WORD_TRIAL = 64, /* and flows by which it is tried */
	WORD_FLAGS = 127,
};

struct hits {
	__u64 packets;
	__u64 bytes;
};

enum fleet {
	FLEET_PORTS = 4,
};

/* What goes out is observed by whether it begins a flow that is not known. */
enum out_class {
	OUT_GOES_ON,
	OUT_BEGINS,
	OUT_CLASSES,
};

/* Whether the maps have all rules, so that they may take the place of an earlier filter's. */
enum filled {
	FILLED_NOT,
	FILLED_ALL,
	FILLED_UNCHECKED, /* they will be, even if a sample of packets is decided differently */
};

/* The arrays have one element per family: IPv4, IPv6. */
struct control {
	__u32 bypass;
	__u32 sampled;	       /* the slot whose packets are sampled, or SLOT_NONE */
	__u64 mask;	       /* sample if the slot's packet count has none of these bits */
	__u64 seeds[3];	       /* odd, random, constant: no sender can choose a bucket */
	__u32 buckets_log2[2]; /* n: 2^n buckets are in use, beginning with bucket 2^n */
	__u32 whole[2];	       /* whether 0.0.0.0/0 or ::/0 may be listed */
	__u32 armed;	       /* signatures: 0 for none, else 1 + the number of the generation */
	__u32 capture_slot;    /* capture only packets this slot decided; SLOT_NONE: all */
	__u32 epoch;	       /* of heads: moved on by whoever reads them, ten times a second */
	__u32 challenging;     /* the actions for SYNs that signatures have, as bits; 0: none */
	__u32 filled;	       /* enum filled; only user space reads it */
	__u32 outgoing;	       /* whether a slot has ACTION_OUT */
	__u64 policing;	       /* a bit for the hash of each host that has policers */
	__u16 fleet_ports[FLEET_PORTS]; /* TCP, network order, 0: none; nodes use them */
	__u32 validating;		/* enum validation, of what goes out */
	__u32 outsides[OUTSIDES_MAX];	/* indexes of outside interfaces, and of what is above */
	/* by reason: observe, and capture, about one packet in mask + 1; all bits: none */
	__u32 observed[REASONS];
	__u32 captured[REASONS];
	__u32 observed_out[OUT_CLASSES]; /* the same of what goes out, by enum out_class */
};

/* For rehearsals only: a packet's time by the recording's clock, and its length on the wire. */
struct recorded {
	__u64 ns;
	__u64 bytes;
};

/* The result of `explain`: the slots that matched, in the order in which they were met. */
enum told {
	/* In the return value of `explain`, above the reason and the slot: the packet passes. The
	 * bit above says that it does not. Other versions read both, see
	 * xdpctl/datapath/bpf/pins.py. */
	TOLD = 1 << 30,
};

struct explanation {
	__u32 reason;
	__u32 slots_met;
	__u32 slots[EXPLANATION_SLOTS_MAX];
	__u32 behind_met; /* number of later signatures that match too, but were not evaluated */
	__u32 behind[EXPLANATION_SLOTS_MAX];
};

#include "abi/matches.h"
#include "abi/outgoing.h"
#include "abi/observed.h"
#include "abi/flows.h"
#include "abi/served.h"
#include "abi/trials.h"

#endif
