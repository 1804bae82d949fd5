/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Turns a packet round, to send it back as an answer (XDP_TX). An answer is never longer than what
 * it answers, and each network gets a bounded number, so nobody gains by forging its address.
 */

#define ANSWER_COST_NS	10000	   /* 100,000 answers a second to a /24 or /48 */
#define ANSWER_BURST_NS 1000000000 /* a second's at once */
#define ANSWER_SALT	0x616e7377
#define IPV6_HEADER	40
#define HOPS		64

/* Helper 65, Linux 4.18. */
static long (*adjust_tail)(struct xdp_md *ctx, int delta) = (void *)65;

static __always_inline __sum16 folded(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int too_many_answers(struct search *search, struct packet *packet)
{
	u64 network = packet->family == 6
			  ? ((u64)host32(packet->source[0]) << 32 | host32(packet->source[1])) >> 16
			  : host32(packet->source[0]) >> 8;
	u32 index = bucket_index(search->control, network, ANSWER_SALT);
	u64 *bucket = buckets.lookup(&index);

	return !bucket || exceeds(search, bucket, ANSWER_COST_NS, ANSWER_BURST_NS);
}

/* Multicast, loopback and 0.0.0.0/8 send nothing. */
static __always_inline int is_nobody(struct packet *packet)
{
	u32 first = host32(packet->source[0]) >> 24;

	if (packet->family == 6)
		return first == 0xff;
	return first >= 224 || first == 127 || !first;
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

/*
 * Turns the IP header round, for a transport header and data of this size. Returns the sum of the
 * pseudo header (RFC 9293 section 3.1, RFC 768).
 */
static __always_inline u64 turn_ipv4(struct ipv4 *ip, u32 protocol, u32 size)
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
	return (u64)ip->source + ip->destination + network32(protocol << 16 | size);
}

static __always_inline u64 turn_ipv6(struct ipv6 *ip, u32 protocol, u32 size)
{
	u64 sum = (u64)network32(protocol) + network32(size);

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
