/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A part of abi.h: what is copied and counted for those who watch traffic, besides hits and
 * reasons.
 */
#ifndef XDPCTL_ABI_OBSERVED_H
#define XDPCTL_ABI_OBSERVED_H

/* The source of a packet of the sampled slot; IPv4 is in the first four bytes. */
struct sample {
	__u8 source[16];
	__u32 slot;
	__u32 family;
};

/* Statistics of slots in monitor mode, for the slots that are in the map `statistics`. */
enum monitoring {
	STATISTICS_MAX = 1024,
	MONITORED_A_PACKET = 3,
	MONITORED_BITS = 21, /* enough for a slot number */
	SKETCH_LOG2 = 9,
	SKETCH_CELLS = 1 << SKETCH_LOG2,
	GLIMPSES = 128,
	CONNECTIONS_MAX = 4096,
};

/* A sampled packet; values are those of enum field. What its protocol lacks has no meaning. */
struct glimpse {
	__u32 source[4]; /* network order; IPv4 in the first word */
	__u32 destination[4];
	__u16 source_port;
	__u16 destination_port;
	__u16 length; /* of the IP packet */
	__u16 tcp_flags;
	__u16 icmp; /* type << 8 | code */
	__u8 family;
	__u8 protocol;
	__u8 ttl;
	__u8 fragment;
	__u16 unused;
};

struct monitor_statistics {
	__u64 looked;	   /* packets that the slot would have hit */
	__u64 established; /* of these, packets of this host's TCP connections */
	__u64 known;	   /* of these, packets of known flows */
	__u64 accepted;	   /* of these, packets that a wider prefix accepts or protects */
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
	CAPTURE_BYTES = 256, /* the largest part of a packet that is captured */
};

/* The beginning of one packet, and its verdict. */
struct capture {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 interface;
	__u32 length; /* of the frame */
	__u32 reason;
	__u32 slot; /* the slot that decided, or SLOT_NONE */
	__u8 head[CAPTURE_BYTES];
};

/* The heads of packets, for everybody who watches traffic. */
enum heads {
	HEAD_BYTES = 128,	  /* the largest part of a packet, from its IP header on */
	HEADS_ALL_LOG2 = 11,	  /* 2^11 packets of a CPU in an epoch are all copied */
	HEADS_THIN_MOST = 16,	  /* of later ones at least one in so many */
	HEADS_SEEN_MAX = 1 << 16, /* and beyond these, none */
};

struct head {
	__u64 time_ns; /* CLOCK_MONOTONIC as of the last tick */
	__u32 length;  /* of the frame */
	__u32 weight;  /* how many packets this one stands for */
	__u32 slot;    /* the slot that decided, or SLOT_NONE */
	__u32 interface;
	__u16 bytes_held;
	__u8 reason;
	__u8 family;	 /* 4 or 6; 0 if it is not IP, or invalid: `bytes` begins after Ethernet */
	__u16 vlan;	 /* of the outermost tag, or NO_VLAN */
	__u16 ethertype; /* after the outermost tag; 0 if the frame ends before it */
	__u32
	    stratum;  /* packets of its kind to its destination in this epoch so far, of this CPU */
	__u8 traffic; /* its kind */
	__u8 flow;    /* enum flow_state */
	__u8 mac[6];  /* of what goes out: the source of its frame; else zeros */
	__u8 bytes[HEAD_BYTES];
	__u32 came_by; /* of what goes out: the interface where it came in, 0: this host sends it */
};

/* The kinds of packets that attacks are made of. */
enum traffic {
	TRAFFIC_SYN,
	TRAFFIC_SYN_ACK,
	TRAFFIC_RST,
	TRAFFIC_TCP,	     /* other TCP */
	TRAFFIC_UDP_SERVICE, /* from a service's port, as an answer or an amplifier's */
	TRAFFIC_UDP,
	TRAFFIC_ICMP,
	TRAFFIC_FRAGMENT,     /* later ones: they have no ports */
	TRAFFIC_QUIC_INITIAL, /* UDP to port 443, as long as a client's first packet has to be */
	TRAFFIC_DNS_QUERY,    /* UDP to port 53 */
	TRAFFIC_GRE,
	TRAFFIC_ESP,
	TRAFFIC_OTHER,
};

enum strata {
	TRAFFIC_KINDS = TRAFFIC_OTHER + 1,
	STRATA_LOG2 = 14,
	STRATUM_LOG2 = 6, /* heads of a stratum in an epoch, until they become fewer */
};

/* A kind towards a destination: the packets of it in an epoch. */
struct stratum {
	__u32 epoch;
	__u32 packets;
};

/* How many packets a CPU has observed in this epoch. */
struct pace {
	__u32 epoch;
	__u32 seen;
	__u64 lost; /* packets whose heads are missing because the ring was full */
};

#endif
