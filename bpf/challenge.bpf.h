/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Challenges: a SYN is answered by an ACK of a number that was never sent. A real client answers
 * with a RST of that number (RFC 9293 section 3.10.7.3), is remembered, and tries again at once or
 * when its timer expires. Nothing is kept for a SYN, so forged sources cost no memory. The number
 * is a keyed hash (SipHash-1-3: Aumasson and Bernstein, 2012) of addresses, ports and time.
 */

#define CHALLENGE_EPOCH_LOG2 36 /* ns: 69 s; the number of the epoch before is valid, too */
#define IPV4_HEADER	     20
#define PACE_SALT	     0x70616365
#define PACE4_COST_NS	     250000000 /* 4 new sources a second of an IPv4 /24 */
#define PACE4_BURST	     256
#define PACE_COST_NS	     62500000 /* 16 of an IPv6 /48 */
#define PACE_BURST	     1024
#define PACE_WIDE_COST_NS    4000000 /* 250 of a /32 */
#define PACE_WIDE_BURST	     32768

BPF_F_TABLE("array", u32, struct block, answered, 1U << ANSWERED_LOG2, MMAPABLE);
BPF_F_TABLE("array", u32, struct challenge, challenges, 1, MMAPABLE);
BPF_F_TABLE("percpu_array", u32, struct challenge_counts, challenge_counts, 1, 0);

struct sip {
	u64 v0, v1, v2, v3;
};

static __always_inline u64 rotated(u64 x, u32 bits)
{
	return x << bits | x >> (64 - bits);
}

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotated(s->v1, 13) ^ s->v0;
	s->v0 = rotated(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotated(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotated(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotated(s->v1, 17) ^ s->v2;
	s->v2 = rotated(s->v2, 32);
}

static __always_inline void sip_add(struct sip *s, u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

/* The number for a connection in an epoch. */
static __always_inline u32 challenge_number(struct challenge *challenge, struct packet *packet,
					    u32 ports, u64 epoch)
{
	struct sip s = {
	    .v0 = challenge->key[0] ^ 0x736f6d6570736575,
	    .v1 = challenge->key[1] ^ 0x646f72616e646f6d,
	    .v2 = challenge->key[0] ^ 0x6c7967656e657261,
	    .v3 = challenge->key[1] ^ 0x7465646279746573,
	};

	sip_add(&s, (u64)packet->source[0] << 32 | packet->destination[0]);
	if (packet->family == 6) {
		sip_add(&s, (u64)packet->source[1] << 32 | packet->destination[1]);
		sip_add(&s, (u64)packet->source[2] << 32 | packet->destination[2]);
		sip_add(&s, (u64)packet->source[3] << 32 | packet->destination[3]);
	}
	sip_add(&s, (u64)ports << 32 | (u32)epoch);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	s.v0 ^= s.v1 ^ s.v2 ^ s.v3;
	return s.v0 ^ s.v0 >> 32;
}

/* A source by itself is an element of the memory; of IPv6 its /64. */
static __always_inline u64 hash_of_source(const u64 *seeds, struct packet *packet)
{
	u32 second = packet->family == 6 ? packet->source[1] : 0;

	return flow_hash(seeds, 4, &second, packet->source, 0, packet->family);
}

/* Whether the source has answered a challenge within the last hour. */
static __always_inline int has_answered(struct control *control, struct packet *packet)
{
	u64 hash = hash_of_source(control->seeds, packet);
	u32 place = block_of(ANSWERED_LOG2, hash);
	struct memory *memory = memories_values() + MEMORY_ANSWERED;
	struct block *block = answered.lookup(&place);

	return remembers(memory, block, hash);
}

static __always_inline int paced(struct control *control, u64 network, u32 salt, u64 now,
				 u64 cost_ns, u64 burst)
{
	u32 index = bucket_index(control, network, salt);
	u64 *bucket = buckets.lookup(&index);

	return bucket && within_budget(bucket, now, cost_ns, burst);
}

/*
 * Whoever has a network has many sources that answer. So the rate of new sources is limited for
 * each IPv4 /24, IPv6 /48 and IPv6 /32, and nobody fills the memory alone.
 */
static __always_inline int keeps_pace(struct control *control, struct packet *packet, u64 now)
{
	u64 first = host32(packet->source[0]);

	if (packet->family == 4)
		return paced(control, first >> 8, PACE_SALT, now, PACE4_COST_NS, PACE4_BURST);
	return paced(control, first << 16 | host32(packet->source[1]) >> 16, PACE_SALT + 1, now,
		     PACE_COST_NS, PACE_BURST) &&
	       paced(control, first, PACE_SALT + 2, now, PACE_WIDE_COST_NS, PACE_WIDE_BURST);
}

static __always_inline void remember_source(struct control *control, struct packet *packet)
{
	u64 hash = hash_of_source(control->seeds, packet);
	u32 place = block_of(ANSWERED_LOG2, hash);
	struct memory *memory = memories_values() + MEMORY_ANSWERED;
	struct block *block = answered.lookup(&place);
	u64 now, is_new;

	if (!block || has(block, generation_of(state_of(memory)), hash) & 1)
		return;
	now = rules_ns();
	is_new = !(has(block, generation_of(state_of(memory)) - 1, hash) & 1);
	if (is_overfull(memory) || (is_new && !keeps_pace(control, packet, now)))
		refuse_element(memory, now, packet->family, packet->source);
	else
		add_element(memory, block, hash, now);
}

/* Whether a reset is the right answer to a challenge; then its source is remembered. */
static __always_inline int is_answer(struct xdp_md *ctx, struct search *search,
				     struct scratch *scratch)
{
	u32 zero = 0, flags = scratch->values[FIELD_TCP_FLAGS], number, ports;
	struct challenge *challenge = challenges.lookup(&zero);
	struct challenge_counts *counts;
	struct transport head;
	u64 epoch;

	if (flags == NO_TCP_FLAGS || (flags & (FLAG_RST | FLAG_SYN)) != FLAG_RST || !challenge ||
	    load_transport(ctx, scratch->packet.offset, &head, sizeof(head)) < 0)
		return 0;
	epoch = limits_ns() >> CHALLENGE_EPOCH_LOG2;
	number = host32(head.sequence);
	ports = (u32)head.source_port << 16 | head.destination_port;
	if (challenge_number(challenge, &scratch->packet, ports, epoch) != number &&
	    challenge_number(challenge, &scratch->packet, ports, epoch - 1) != number)
		return 0;
	if (search->explanation)
		return 1;
	remember_source(search->control, &scratch->packet);
	counts = challenge_counts.lookup(&zero);
	if (counts)
		counts->right++;
	return 1;
}

/* The actions for SYNs that a packet meets, as bits; 0 if it is no SYN. */
static __always_inline u32 challenges_for(struct xdp_md *ctx, struct search *search,
					  struct scratch *scratch)
{
	u32 flags = scratch->values[FIELD_TCP_FLAGS], found = 0;

	if (flags == NO_TCP_FLAGS ||
	    (flags & (FLAG_SYN | FLAG_ACK | FLAG_RST | FLAG_FIN)) != FLAG_SYN)
		return 0;
	if (search->control->challenging & 1 << ACTION_CHALLENGE &&
	    !has_answered(search->control, &scratch->packet))
		found |= 1 << ACTION_CHALLENGE;
	if (search->control->challenging & 1 << ACTION_COOKIES &&
	    has_listener(ctx, &scratch->packet, scratch->values))
		found |= 1 << ACTION_COOKIES;
	return found;
}
