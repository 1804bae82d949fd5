/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stage that answers a SYN in place and sends it back (XDP_TX): with a challenge, or with the
 * kernel's own SYN cookie. The packet has been counted before. An answer is never longer than what
 * it answers, and each network gets a bounded number, so nobody gains by forging its address.
 */

#define ANSWER_COST_NS	10000	   /* 100,000 answers a second to a /24 or /48 */
#define ANSWER_BURST_NS 1000000000 /* a second's at once */
#define ANSWER_SALT	0x616e7377
#define TCP_HEADER	20
#define TCP_HEADER_MOST 60
#define TCP_OPTION	4
#define TCP_MSS_OPTION	0x02040000
#define IPV6_HEADER	40
#define HOPS		64

struct tcp {
	__be16 source_port;
	__be16 destination_port;
	__be32 sequence;
	__be32 acknowledged;
	__be16 offset_flags;
	__be16 window;
	__sum16 checksum;
	__be16 urgent;
};

/* Helpers 65 and 110, Linux 4.18 and 5.3. */
static long (*adjust_tail)(struct xdp_md *ctx, int delta) = (void *)65;
static s64 (*generate_cookie)(struct bpf_sock *socket, void *ip, u32 ip_size, void *tcp,
			      u32 tcp_size) = (void *)110;

static __always_inline __sum16 folded(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* What an answer says; without room for an option `mss` is 0. */
struct reply {
	u32 sequence;
	u32 acknowledged;
	u32 flags;
	u32 mss;
	u32 size; /* of the TCP header */
};

static __always_inline int too_many_answers(struct search *search, struct packet *packet)
{
	u64 network = packet->family == 6
			  ? ((u64)host32(packet->source[0]) << 32 | host32(packet->source[1])) >> 16
			  : host32(packet->source[0]) >> 8;
	u32 index = bucket_index(search->control, network, ANSWER_SALT);
	u64 *bucket = buckets.lookup(&index);

	return !bucket || exceeds(search, bucket, ANSWER_COST_NS, ANSWER_BURST_NS);
}

/* The kernel's cookie for a SYN to a listener of this host, above 32 bits its MSS; or negative. */
static __always_inline s64 cookie_for(struct xdp_md *ctx, struct scratch *scratch, u32 size)
{
	struct packet *packet = &scratch->packet;
	u8 *header = scratch->capture.head; /* not in use here */
	struct bpf_sock *socket;
	s64 cookie = -1;

	if (size < TCP_HEADER || size > TCP_HEADER_MOST)
		return -1;
	size = ((size - 1) & 63) + 1;
	if (load_bytes(ctx, packet->ip, header, IPV6_HEADER) < 0 ||
	    load_bytes(ctx, packet->offset, header + 64, size) < 0)
		return -1;
	socket = socket_of(ctx, packet, *(__be16 *)(header + 64), *(__be16 *)(header + 66));
	if (!socket)
		return -1;
	if (socket->state == BPF_TCP_LISTEN)
		cookie =
		    generate_cookie(socket, header, packet->family == 4 ? IPV4_HEADER : IPV6_HEADER,
				    header + 64, size);
	release_socket(socket);
	return cookie;
}

#if LINK_LAYER == LINK_ETHERNET

/* Turns the Ethernet header round, and sets the length in a session's header; -1 if it cannot. */
static __always_inline int turn_link(struct xdp_md *ctx, struct packet *packet, u32 length)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethernet *ethernet = data;
	u32 is_short = packet->ip & 1; /* a protocol of one byte, see frame.h */
	u32 at = packet->ip - SESSION_HEADER + is_short - sizeof(ethernet->type);
	__be16 *type = data + (at & IP_AT_MOST);
	struct session *session = (void *)(type + 1);
	u8 address[6];

	if ((void *)(ethernet + 1) > end)
		return -1;
	__builtin_memcpy(address, ethernet->destination, sizeof(address));
	__builtin_memcpy(ethernet->destination, ethernet->source, sizeof(address));
	__builtin_memcpy(ethernet->source, address, sizeof(address));
	if (packet->ip + is_short < sizeof(*ethernet) + SESSION_HEADER)
		return 0;
	if ((void *)(session + 1) > end)
		return -1;
	if (*type == network16(ETHERTYPE_SESSION))
		session->length = network16(length + SESSION_HEADER - is_short - sizeof(*session));
	return 0;
}

#else

/* Helper 44, Linux 4.10. */
static long (*adjust_head)(struct xdp_md *ctx, int delta) = (void *)44;

/*
 * When a program has changed a packet's first bytes, the kernel takes the protocol of what is sent
 * back from where an Ethernet header would be: from the bytes in front of it.
 */
static __always_inline int turn_link(struct xdp_md *ctx, struct packet *packet, u32 length)
{
	struct ethernet *ethernet;

	if (adjust_head(ctx, -(int)sizeof(*ethernet)))
		return -1;
	ethernet = (void *)(long)ctx->data;
	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return -1;
	__builtin_memset(ethernet, 0, sizeof(*ethernet));
	ethernet->type = network16(packet->family == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
	return adjust_head(ctx, sizeof(*ethernet)) ? -1 : 0;
}

#endif

/* Turns the IP header round; returns the sum of the pseudo header (RFC 9293 section 3.1). */
static __always_inline u64 turn_ipv4(struct ipv4 *ip, u32 size)
{
	__be32 source = ip->source, *words = (void *)ip;
	u64 sum = 0;

	ip->version_ihl = 0x45;
	ip->dscp_ecn = 0;
	ip->length = network16(IPV4_HEADER + size);
	ip->id = 0;
	ip->fragment = network16(IPV4_DONT_FRAGMENT);
	ip->ttl = HOPS;
	ip->checksum = 0;
	ip->source = ip->destination;
	ip->destination = source;
#pragma unroll
	for (int word = 0; word < IPV4_HEADER / 4; word++)
		sum += words[word];
	ip->checksum = folded(sum);
	return (u64)ip->source + ip->destination + network32(PROTOCOL_TCP << 16 | size);
}

static __always_inline u64 turn_ipv6(struct ipv6 *ip, u32 size)
{
	u64 sum = (u64)network32(PROTOCOL_TCP) + network32(size);

	ip->version_class_label = network32(0x60000000);
	ip->payload_length = network16(size);
	ip->hop_limit = HOPS;
#pragma unroll
	for (int word = 0; word < 4; word++) {
		__be32 source = ip->source[word];

		ip->source[word] = ip->destination[word];
		ip->destination[word] = source;
		sum += (u64)ip->source[word] + ip->destination[word];
	}
	return sum;
}

static __always_inline void turn_tcp(struct tcp *tcp, struct reply *reply, u64 sum)
{
	__be16 source = tcp->source_port;
	__be32 *words = (void *)tcp;

	tcp->source_port = tcp->destination_port;
	tcp->destination_port = source;
	tcp->sequence = network32(reply->sequence);
	tcp->acknowledged = network32(reply->acknowledged);
	tcp->offset_flags = network16((reply->mss ? 6 : 5) << 12 | reply->flags);
	tcp->window = 0xffff;
	tcp->checksum = 0;
	tcp->urgent = 0;
#pragma unroll
	for (int word = 0; word < TCP_HEADER / 4; word++)
		sum += words[word];
	if (reply->mss)
		sum += network32(TCP_MSS_OPTION | reply->mss);
	tcp->checksum = folded(sum);
}

/* Adds the option to the reply, if there is one. */
static __always_inline int turn_transport(void *tcp, void *end, struct reply *reply, u64 sum)
{
	if (tcp + TCP_HEADER > end)
		return -1;
	turn_tcp(tcp, reply, sum);
	if (!reply->mss)
		return 0;
	if (tcp + TCP_HEADER + TCP_OPTION > end)
		return -1;
	*(__be32 *)(tcp + TCP_HEADER) = network32(TCP_MSS_OPTION | reply->mss);
	return 0;
}

/* Rewrites the frame to the reply; -1 if it cannot. */
static __always_inline int turn(struct xdp_md *ctx, struct packet *packet, struct reply *reply)
{
	u32 ip_at = packet->ip & IP_AT_MOST, size = reply->size;
	void *end, *ip;

	size += packet->family == 4 ? IPV4_HEADER : IPV6_HEADER;
	if (adjust_tail(ctx, (int)(ip_at + size) - (int)first_buffer(ctx)) ||
	    turn_link(ctx, packet, size))
		return -1;
	end = (void *)(long)ctx->data_end;
	ip = (void *)(long)ctx->data + ip_at;
	if (packet->family == 4) {
		if (ip + IPV4_HEADER > end)
			return -1;
		return turn_transport(ip + IPV4_HEADER, end, reply, turn_ipv4(ip, reply->size));
	}
	if (ip + IPV6_HEADER > end)
		return -1;
	return turn_transport(ip + IPV6_HEADER, end, reply, turn_ipv6(ip, reply->size));
}

/* Multicast, loopback and 0.0.0.0/8 send nothing. */
static __always_inline int is_nobody(struct packet *packet)
{
	u32 first = host32(packet->source[0]) >> 24;

	if (packet->family == 6)
		return first == 0xff;
	return first >= 224 || first == 127 || !first;
}

/* Answers in place; the verdict. */
static __always_inline int send_answer(struct xdp_md *ctx, struct search *search,
				       struct scratch *scratch, u32 slot)
{
	struct packet *packet = &scratch->packet;
	struct slot *asked = slots.lookup(&slot);
	struct reply reply = {.size = TCP_HEADER, .flags = FLAG_ACK};
	struct challenge *challenge;
	struct transport head;
	u32 zero = 0, size;
	s64 cookie;

	if (!asked || parse_again(ctx, scratch) || is_nobody(packet) ||
	    too_many_answers(search, packet) ||
	    packet->offset - packet->ip != (packet->family == 4 ? IPV4_HEADER : IPV6_HEADER) ||
	    load_bytes(ctx, packet->offset, &head, sizeof(head)) < 0)
		return XDP_DROP;
	if ((asked->word & WORD_ACTION) == ACTION_COOKIES) {
		size = host16(head.offset_flags) >> 12 << 2;
		cookie = cookie_for(ctx, scratch, size);
		if (cookie < 0)
			return XDP_PASS; /* its queue is not full, and it may have SYN cookies only
					    then */
		reply.sequence = cookie;
		reply.acknowledged = host32(head.sequence) + 1;
		reply.flags = FLAG_SYN | FLAG_ACK;
		if (size > TCP_HEADER) {
			reply.mss = cookie >> 32 & 0xffff;
			reply.size = TCP_HEADER + TCP_OPTION;
		}
		return turn(ctx, packet, &reply) < 0 ? XDP_DROP : XDP_TX;
	}
	challenge = challenges.lookup(&zero);
	if (!challenge)
		return -1;
	reply.acknowledged =
	    challenge_number(challenge, packet, (u32)head.source_port << 16 | head.destination_port,
			     limits_ns() >> CHALLENGE_EPOCH_LOG2);
	reply.sequence = reply.acknowledged ^ host32(head.sequence);
	return turn(ctx, packet, &reply) < 0 ? XDP_DROP : XDP_TX;
}

int answer(struct xdp_md *ctx)
{
	struct search search = begin(ctx, NULL);
	u32 zero = 0, verdict;
	struct scratch *scratch = scratches.lookup(&zero);
	struct pending *asked = pending.lookup(&zero);
	struct challenge_counts *counts = challenge_counts.lookup(&zero);

	if (!asked || !scratch || !counts)
		return XDP_DROP;
	verdict = send_answer(ctx, &search, scratch, asked->slot);
	counts->sent += verdict == XDP_TX;
	counts->withheld += verdict == XDP_DROP;
	return pass_on(ctx, verdict);
}
