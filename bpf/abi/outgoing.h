/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes out: who inside sends to addresses that an out set lists, and who attacks. */

enum outgoing {
	SENDERS_MAX = 4096, /* the ones that sent last */
};

/* The programs that the one at TC egress tail-calls. */
enum leaving {
	LEAVING_LOOK_UP,
	LEAVING_TELL,
	LEAVING_LET_OUT,
	LEAVING_OBSERVE,
	LEAVING_MAX,
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
	__be32 destination[4]; /* of a packet */
	__u8 mac[6];	       /* the source of its frame; of what the box routes, its own */
	__u8 unused[2];
};
