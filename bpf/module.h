/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a module may use. A module is a C file with one function:
 *
 *	MODULE decide(struct view *view)
 *	{
 *		if (view->bytes < 4)
 *			return DROP;
 *		return PASS;
 *	}
 *
 * The filter asks it about each packet that matches the rest of its rule, if it is TCP, UDP or ICMP
 * and no later fragment. PASS: the rule does not match, and the search goes on. DROP: the
 * rule's action is done. CHALLENGE: if the rule's action is a challenge, the packet is answered
 * with what reply() was given (REPLY_MOST bytes at most); else it is as DROP. Any other value is as
 * PASS, and counted.
 *
 * Loops need a bound that the kernel's verifier sees. Functions are inlined, and have no globals.
 * A module that is slow is taken out of the filter.
 */
#ifndef XDPCTL_MODULE_H
#define XDPCTL_MODULE_H

#define MODULE static __always_inline enum module_verdict

#define PASS	  MODULE_PASS
#define DROP	  MODULE_DROP
#define CHALLENGE MODULE_CHALLENGE

#define REMEMBERED 65536 /* keys that a module remembers; the least recently used one goes */

/* A packet. Numbers are in host order, addresses in network order. */
struct view {
	const u8 *payload; /* its first PAYLOAD_BYTES (64) bytes, 0 behind its end */
	u32 bytes;	   /* of the whole payload */
	u32 family;	   /* 4 or 6 */
	u32 protocol;	   /* 6: TCP, 17: UDP, 1: ICMP, 58: ICMPv6 */
	u32 source_port;   /* 65536 without ports */
	u32 destination_port;
	u32 tcp_flags; /* 4096 without TCP; 1: FIN, 2: SYN, 4: RST, 16: ACK */
	u32 ttl;
	u32 length;	      /* of the packet, by its IP header */
	const __be32 *source; /* four words; IPv4 has one */
	const __be32 *destination;
	struct xdp_md *frame; /* from here on, the functions below use it */
	struct scratch *scratch;
	u32 at;
};

/* Copies `size` bytes (a constant) of the payload from `offset` on; 0, or -1 if it is shorter. */
static __always_inline int further(struct view *view, u32 offset, void *to, u32 size);

/*
 * A number for this source, destination, ports and `extra`, which nobody without the filter's key
 * can know. It changes with time: is_keyed() takes a number for 69 s at least, and for 137 at most.
 */
static __always_inline u32 keyed(struct view *view, u32 extra);
static __always_inline int is_keyed(struct view *view, u32 extra, u32 number);

/*
 * Whether this source has proved to a module, within an hour, that it exists. A source is an IPv4
 * address or an IPv6 /64. proves() remembers that it does; new ones are limited for each network.
 */
static __always_inline int is_proven(struct view *view);
static __always_inline void proves(struct view *view);

/*
 * Two numbers that the module keeps for a key, at first 0; NULL if there is no memory. They are
 * shared by all CPUs and interfaces. They are gone when the module is changed.
 */
static __always_inline u64 *memory_of(u64 key);

/*
 * What a CHALLENGE sends back over UDP: `size` bytes (a constant), no more than the payload has,
 * else nothing is sent. The packet is dropped in any case.
 */
static __always_inline void reply(struct view *view, const void *from, u32 size);

#endif
