/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers to queries over UDP whose source has not proved that it exists. To a DNS query: no
 * records, and TC set (RFC 1035 section 4.1.1). A resolver then asks over TCP (RFC 7766 section 5),
 * whose handshake is a proof (prove_by_tcp in teach.c). The question stays as it came, and of EDNS
 * a record without options (RFC 6891). To a query of a game: a number, with which it comes again.
 */

#define GAME_CHALLENGE	 0x41
#define GAME_REPLY	 9 /* bytes; no query that is challenged has fewer */
#define DNS_LABEL_MOST	 63
#define DNS_LABELS_MOST	 127
#define DNS_TYPE_CLASS	 4
#define DNS_OPT		 41
#define DNS_OPT_BYTES	 11
#define DNS_MOST	 252  /* a longer answer is not sent; a multiple of 4 */
#define DNS_EDNS_SIZE	 1232 /* what a UDP payload should have at most (DNS flag day 2020) */
#define DNS_KEPT	 0x79 /* of the first byte of flags: opcode, and recursion desired */
#define DNS_QR_TC	 0x82
#define DNS_CHECKING_OFF 0x10
#define DNS_WANTS_DNSSEC 0x80

/* Helpers 28 and 190, Linux 4.6 and 5.18. */
static s64 (*sum_of)(__be32 *from, u32 from_size, __be32 *to, u32 to_size, u32 seed) = (void *)28;
static long (*store_bytes)(struct xdp_md *ctx, u32 offset, void *from, u32 length) = (void *)190;

/* Where the question ends; 0 if there is not exactly one whole question. */
static __always_inline u32 question_end(u8 *message, u32 bytes)
{
	u32 at = DNS_HEADER, label = 1;

	if (message[4] || message[5] != 1)
		return 0;
	for (int n = 0; n <= DNS_LABELS_MOST; n++) {
		asm volatile("" : "+r"(at)); /* the verifier knows its bounds by the mask alone */
		label = message[at & 255];
		if (!label || label > DNS_LABEL_MOST)
			break;
		at += label + 1;
		if (at >= bytes)
			return 0;
	}
	at += 1 + DNS_TYPE_CLASS;
	return label || at > bytes ? 0 : at;
}

/* Makes the record behind a question the answer's EDNS; its bytes, or 0 if it is no EDNS. */
static __always_inline u32 turn_edns(u8 *message, u32 bytes, u32 at)
{
	if (at + DNS_OPT_BYTES > bytes)
		return 0;
	/* so that each mask stays: the verifier of 6.1 loses what the comparison says */
	asm volatile("" : "+r"(at));
	if (message[at & 255] || message[at + 1 & 255] || message[at + 2 & 255] != DNS_OPT)
		return 0;
	message[at + 3 & 255] = DNS_EDNS_SIZE >> 8;
	message[at + 4 & 255] = DNS_EDNS_SIZE & 255;
	message[at + 5 & 255] = 0; /* extended code */
	message[at + 6 & 255] = 0; /* version */
	message[at + 7 & 255] &= DNS_WANTS_DNSSEC;
	message[at + 8 & 255] = 0;
	message[at + 9 & 255] = 0; /* bytes of options */
	message[at + 10 & 255] = 0;
	return DNS_OPT_BYTES;
}

/*
 * Makes a query the answer, with zeros behind it; its size, or 0 if it is not sent. A query that is
 * signed (TSIG, RFC 8945) would need a signature, so it is not answered.
 */
static __always_inline u32 truncate(u8 *message, u32 bytes)
{
	u32 end = question_end(message, bytes), further = message[10] << 8 | message[11];
	u32 edns = 0, size;

	if (!end || further > 1)
		return 0;
	if (further) {
		edns = turn_edns(message, bytes, end);
		if (!edns)
			return 0;
	}
	end += edns;
	message[2] = (message[2] & DNS_KEPT) | DNS_QR_TC;
	message[3] &= DNS_CHECKING_OFF;
#pragma unroll
	for (int at = 6; at < 11; at++) /* the numbers of records */
		message[at] = 0;
	message[11] = !!edns;
	if (end > DNS_MOST)
		return 0;
	size = end;
	asm volatile("" : "+r"(end)); /* as above */
#pragma unroll
	for (int n = 0; n < 3; n++)
		message[end + n & 255] = 0;
	return size;
}

/* Turns the UDP header round. `sum`: of the pseudo header and of the data. */
static __always_inline int turn_udp(void *at, void *end, u32 size, u64 sum)
{
	struct {
		struct ports ports;
		__be16 length;
		__sum16 checksum;
	} *udp = at;
	__be16 source;

	if (at + sizeof(*udp) > end)
		return -1;
	source = udp->ports.source;
	udp->ports.source = udp->ports.destination;
	udp->ports.destination = source;
	udp->length = network16(size);
	udp->checksum = 0;
	sum += *(__be32 *)at + (u64) * (__be32 *)(at + 4);
	udp->checksum = folded(sum);
	if (!udp->checksum) /* which would say that there is none (RFC 768) */
		udp->checksum = 0xffff;
	return 0;
}

/* Rewrites the frame to a datagram that goes back, zeros behind its data; -1 if it cannot. */
static __always_inline int turn_datagram(struct xdp_md *ctx, struct packet *packet, u8 *message,
					 u32 size)
{
	u32 ip_at = packet->ip & IP_AT_MOST,
	    header = packet->family == 4 ? IPV4_HEADER : IPV6_HEADER;
	void *end, *ip;
	u64 sum;
	int failed;

	if (adjust_tail(ctx, (int)(ip_at + header + UDP_HEADER + size) - (int)frame_length(ctx)) ||
	    turn_link(ctx, packet, header + UDP_HEADER + size))
		return -1;
	asm volatile("" : "+r"(size));
	size &= 255;
	sum = sum_of(0, 0, (void *)message, size + 3 & ~3, 0);
	end = (void *)(long)ctx->data_end;
	ip = (void *)(long)ctx->data + ip_at;
	if (packet->family == 4) {
		if (ip + IPV4_HEADER > end)
			return -1;
		sum += turn_ipv4(ip, PROTOCOL_UDP, UDP_HEADER + size);
		failed = turn_udp(ip + IPV4_HEADER, end, UDP_HEADER + size, sum);
	} else {
		if (ip + IPV6_HEADER > end)
			return -1;
		sum += turn_ipv6(ip, PROTOCOL_UDP, UDP_HEADER + size);
		failed = turn_udp(ip + IPV6_HEADER, end, UDP_HEADER + size, sum);
	}
	if (failed)
		return -1;
	asm volatile("" : "+r"(size)); /* as in copy() */
	return store_bytes(ctx, ip_at + header + UDP_HEADER, message, ((size - 1) & 255) + 1);
}

/* Sets the message to the answer to a DNS query; its size, or 0 if it is not answered. */
static __always_inline u32 truncated(struct xdp_md *ctx, struct packet *packet, u8 *message)
{
	u32 at = packet->offset + UDP_HEADER, bytes = packet->end - at;

	if (packet->fragment || (s32)bytes < DNS_HEADER ||
	    copy(ctx, at, message, bytes, CAPTURE_BYTES) < 0)
		return 0;
	return truncate(message, bytes > CAPTURE_BYTES ? CAPTURE_BYTES : bytes);
}

/* Sets the message to the number that a game's client is to repeat (S2C_CHALLENGE); its size. */
static __always_inline u32 numbered(struct challenge *challenge, struct packet *packet, u8 *message,
				    u32 ports)
{
	__be32 number = network32(
	    challenge_number(challenge, packet, ports, limits_ns() >> CHALLENGE_EPOCH_LOG2));

	__builtin_memset(message, 0xff, sizeof(number));
	message[4] = GAME_CHALLENGE;
	__builtin_memcpy(message + 5, &number, sizeof(number));
	__builtin_memset(message + GAME_REPLY, 0, 3);
	return GAME_REPLY;
}

/* Sets the message to what a module replies, which is no longer than what it replies to. */
static __always_inline u32 replied(struct scratch *scratch, u8 *message)
{
	u32 size = scratch->halted.reply_bytes;
	u32 at = scratch->packet.offset + UDP_HEADER;

	if (size > REPLY_MOST || (s32)(scratch->packet.end - at) < (s32)size)
		return 0;
	__builtin_memcpy(message, scratch->halted.reply, REPLY_MOST);
	return size;
}

/* What opens a QUIC connection gets no answer: a Retry would need a token that the server knows. */
static __always_inline int is_left_unanswered(struct xdp_md *ctx, struct packet *packet)
{
	struct transport head;

	return load_transport(ctx, packet->offset, &head, 4) == 0 &&
	       head.destination_port == network16(PORT_HTTPS);
}

/* Rewrites the frame to the answer to a query; -1 if it cannot. */
static __always_inline int answer_query(struct xdp_md *ctx, struct scratch *scratch, u32 of_module)
{
	u8 *message = scratch->capture.head; /* not in use here */
	u32 zero = 0, size = 0;
	struct challenge *challenge = challenges.lookup(&zero);
	struct transport head = {};

	if (!challenge || load_transport(ctx, scratch->packet.offset, &head, 4) < 0)
		return -1;
	if (of_module)
		size = replied(scratch, message);
	else if (head.destination_port == network16(PORT_DNS))
		size = truncated(ctx, &scratch->packet, message);
	else
		size = numbered(challenge, &scratch->packet, message,
				(u32)head.source_port << 16 | head.destination_port);
	return size ? turn_datagram(ctx, &scratch->packet, message, size) : -1;
}
