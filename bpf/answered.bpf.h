/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of sources that have proved that they exist: by the right answer to a challenge, or by
 * a TCP connection to a service whose other clients are challenged.
 */

#define PACE_SALT	  0x70616365
#define PACE4_COST_NS	  250000000 /* 4 new sources a second of an IPv4 /24 */
#define PACE4_BURST	  256
#define PACE_COST_NS	  62500000 /* 16 of an IPv6 /48 */
#define PACE_BURST	  1024
#define PACE_WIDE_COST_NS 4000000 /* 250 of a /32 */
#define PACE_WIDE_BURST	  32768

BPF_F_TABLE("array", u32, struct block, answered, 1U << ANSWERED_LOG2, MMAPABLE);
BPF_F_TABLE("percpu_array", u32, struct challenge_counts, challenge_counts, 1, 0);

/*
 * What a proof is good for. A host resets an answer to a SYN that it never sent, too, so a reset
 * shows that a host exists, and not that it asks. Whoever forges packets of a live host could let
 * it prove that, so it opens no way for queries, whose answers may be long.
 */
enum proof_for {
	FOR_SYNS,
	FOR_QUERIES,
	FOR_QUIC,
	FOR_MODULES, /* by a program of one's own */
	FOR_NOTHING,
};

/* What clients have proved to the service on a port once it has sent them data over TCP. */
static __always_inline enum proof_for proved_by_tcp(u32 port)
{
	if (port == PORT_DNS)
		return FOR_QUERIES;
	return port == PORT_HTTPS ? FOR_QUIC : FOR_NOTHING;
}

/* A source with a kind of proof is an element of the memory; of IPv6 its /64. */
static __always_inline u64 hash_of_source(const u64 *seeds, u32 family, __be32 *source,
					  enum proof_for what)
{
	u32 second = family == 6 ? source[1] : 0;

	return flow_hash(seeds, 4, &second, source, what, family);
}

/* Whether the source has answered a challenge within the last hour. */
static __always_inline int has_answered(struct control *control, struct packet *packet,
					enum proof_for what)
{
	u64 hash = hash_of_source(control->seeds, packet->family, packet->source, what);
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
static __always_inline int keeps_pace(struct control *control, u32 family, __be32 *source, u64 now)
{
	u64 first = host32(source[0]);

	if (family == 4)
		return paced(control, first >> 8, PACE_SALT, now, PACE4_COST_NS, PACE4_BURST);
	return paced(control, first << 16 | host32(source[1]) >> 16, PACE_SALT + 1, now,
		     PACE_COST_NS, PACE_BURST) &&
	       paced(control, first, PACE_SALT + 2, now, PACE_WIDE_COST_NS, PACE_WIDE_BURST);
}

/* Remembers a source that has proved that it exists, and counts it if it was not known before. */
static __always_inline void remember_source(struct control *control, u32 family, __be32 *source,
					    enum proof_for what)
{
	u64 hash = hash_of_source(control->seeds, family, source, what), now, is_new;
	u32 zero = 0, place = block_of(ANSWERED_LOG2, hash);
	struct memory *memory = memories_values() + MEMORY_ANSWERED;
	struct block *block = answered.lookup(&place);
	struct challenge_counts *counts = challenge_counts.lookup(&zero);

	if (!block || has(block, generation_of(state_of(memory)), hash) & 1)
		return;
	now = rules_ns();
	is_new = !(has(block, generation_of(state_of(memory)) - 1, hash) & 1);
	if (is_overfull(memory) || (is_new && !keeps_pace(control, family, source, now))) {
		refuse_element(memory, now, family, source);
		return;
	}
	add_element(memory, block, hash, now);
	if (counts)
		counts->right += is_new;
}
