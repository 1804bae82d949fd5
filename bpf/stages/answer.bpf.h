/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stage that answers a packet in place: a SYN with a challenge or with the kernel's own SYN
 * cookie, and a query over UDP as queries.bpf.h says. The packet has been counted before.
 */

#define TCP_HEADER_MOST 60
#define TCP_OPTION	4
#define TCP_MSS_OPTION	0x02040000
#define UNANSWERED	-1 /* no verdict: the packet is dropped, and no answer was withheld */

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

/* Helper 110, Linux 5.3. */
static s64 (*generate_cookie)(struct bpf_sock *socket, void *ip, u32 ip_size, void *tcp,
			      u32 tcp_size) = (void *)110;

/* What an answer says; without room for an option `mss` is 0. */
struct reply {
	u32 sequence;
	u32 acknowledged;
	u32 flags;
	u32 mss;
	u32 size; /* of the TCP header */
};

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
	if (adjust_tail(ctx, (int)(ip_at + size) - (int)frame_length(ctx)) ||
	    turn_link(ctx, packet, size))
		return -1;
	end = (void *)(long)ctx->data_end;
	ip = (void *)(long)ctx->data + ip_at;
	if (packet->family == 4) {
		if (ip + IPV4_HEADER > end)
			return -1;
		return turn_transport(ip + IPV4_HEADER, end, reply,
				      turn_ipv4(ip, PROTOCOL_TCP, reply->size));
	}
	if (ip + IPV6_HEADER > end)
		return -1;
	return turn_transport(ip + IPV6_HEADER, end, reply,
			      turn_ipv6(ip, PROTOCOL_TCP, reply->size));
}

/* Answers in place; the verdict, or UNANSWERED. */
static __always_inline int send_answer(struct xdp_md *ctx, struct search *search,
				       struct scratch *scratch, u32 slot)
{
	struct packet *packet = &scratch->packet;
	struct slot *asked = slots.lookup(&slot);
	struct reply reply = {.size = TCP_HEADER, .flags = FLAG_ACK};
	struct challenge *challenge;
	struct transport head;
	u32 zero = 0, size, action, of_module;
	s64 cookie;

	if (!asked || parse_again(ctx, scratch))
		return XDP_DROP;
	action = *(volatile u64 *)&asked->word & WORD_ACTION;
	of_module = scratch->halted.slot == slot;
	if (action == ACTION_CHALLENGE_UDP &&
	    (of_module ? !scratch->halted.reply_bytes : is_left_unanswered(ctx, packet)))
		return UNANSWERED;
	if (is_nobody(packet) || too_many_answers(search, packet) ||
	    packet->offset - packet->ip != (packet->family == 4 ? IPV4_HEADER : IPV6_HEADER))
		return XDP_DROP;
	if (packet->protocol != (action == ACTION_CHALLENGE_UDP ? PROTOCOL_UDP : PROTOCOL_TCP))
		return XDP_DROP; /* the slot has become another rule's meanwhile */
	if (action == ACTION_CHALLENGE_UDP)
		return answer_query(ctx, scratch, of_module) < 0 ? XDP_DROP : XDP_TX;
	if (load_bytes(ctx, packet->offset, &head, sizeof(head)) < 0)
		return XDP_DROP;
	if (action == ACTION_COOKIES) {
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
		return XDP_DROP;
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
	return pass_on(ctx, verdict == UNANSWERED ? XDP_DROP : verdict);
}
