/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes out: who inside sends to addresses that an out set lists, who attacks, and limits. */

enum outgoing {
	SENDERS_MAX = 4096, /* the ones that sent last */
	FORGERS_MAX = 1024, /* MAC addresses, likewise */
	POLICED_MAX = 1024, /* hosts inside */
	POLICERS = 4,	    /* of one host */
};

/* The programs that the one at TC egress tail-calls. */
enum leaving {
	LEAVING_LOOK_UP,
	LEAVING_TELL,
	LEAVING_LET_OUT,
	LEAVING_OBSERVE,
	LEAVING_POLICE,
	LEAVING_VALIDATE,
	LEAVING_MAX,
};

/* What is done about sources that cannot be inside (RFC 2827). */
enum validation {
	VALIDATE_NOT,
	VALIDATE_MONITOR, /* they are counted */
	VALIDATE_ENFORCE, /* and dropped */
};

struct sender_key {
	__be32 address[4]; /* IPv4 uses the first word */
	__u32 family;
	__u32 slot; /* of the set */
};

struct sender {
	__u64 packets;
	__u64 bytes;
	__u64 last_ns;	       /* CLOCK_MONOTONIC */
	__be32 destination[4]; /* of a packet; of who forges sources, its source */
	__u8 mac[6];	       /* the source of its frame; of what the box routes, its own */
	__u8 unused[2];
};

/* Which packets of its protocol a policer meets. */
enum police {
	POLICE_ALL,
	POLICE_SYN,	/* those that ask for a TCP connection */
	POLICE_UNKNOWN, /* those that begin a flow, or belong to one that is not known */
};

struct policed_host {
	__be32 address[4]; /* IPv4 uses the first word */
	__u32 family;
};

/* A limit of some packets of one host. Ports are in network order. */
struct policer {
	__be32 destination[4]; /* zeros: any */
	__u64 bucket;	       /* GCRA: until when it is not empty (CLOCK_MONOTONIC) */
	__u64 cost;	       /* ns of a packet */
	__u64 burst_ns;
	__u64 until_ns;	    /* CLOCK_MONOTONIC; from then on, and if it is 0, it meets nothing */
	__u64 dropped;	    /* packets */
	__be16 source_port; /* 0: any */
	__be16 destination_port; /* 0: any */
	__u8 mac[6];		 /* the source of the frame; zeros: any */
	__u8 protocol;
	__u8 only; /* enum police */
	__u32 pps; /* only user space reads it */
};

struct policers {
	struct policer of[POLICERS];
};
