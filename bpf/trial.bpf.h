/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a packet passes that a rule on trial would drop. The hash has a secret key, so whoever
 * chooses a flow's addresses and ports cannot choose whether it is in the control group. Buckets
 * bound the number of flows that pass, and the number of packets of each flow is bounded, too.
 */

#define SHARE_BURST	25 /* flows at once */
#define AGAIN_BURST	25
#define SEEN_HERE_LOG2	(FLOWS_LOG2 ? SEEN_LOG2 : 0)
#define TRIED_HERE_LOG2 (FLOWS_LOG2 ? TRIED_LOG2 : 0)

BPF_F_TABLE("array", u32, struct trial, trials, SIGNATURES_MAX, MMAPABLE);
BPF_F_TABLE("array", u32, struct tried, tried_flows, 1U << TRIED_HERE_LOG2, MMAPABLE);
BPF_F_TABLE("array", u32, u64, seen, 1U << SEEN_HERE_LOG2, MMAPABLE);

/*
 * Whether a flow of this packet may pass without doing harm: a host's answer to forged UDP makes
 * the flow known, unless it comes from the port of a service.
 */
static __always_inline int may_be_tried(struct packet *packet, struct ports *ports)
{
	return packet->protocol != PROTOCOL_UDP || is_service(host16(ports->destination));
}

/* The hash of the packet's flow, of ICMP of its addresses; 0: none is tried. */
static __always_inline u64 hash_of_trial(struct xdp_md *ctx, const u64 *seeds,
					 struct packet *packet)
{
	u32 protocol = packet->protocol;
	struct ports ports = {};
	u64 hash;

	if (protocol & PROTOCOL_NOT_IN_FRAME && !is_portless(packet))
		return 0;
	if ((protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP) &&
	    (read_ports(ctx, packet, &ports) < 0 || !may_be_tried(packet, &ports)))
		return 0;
	packet->protocol = protocol & 255;
	hash = hash_of_flow(seeds, packet, &ports);
	packet->protocol = protocol;
	return hash;
}

/* Whether the last dropped packet of this flow came before a pause; this one is the last now. */
static __always_inline int comes_again(u64 hash, u64 now)
{
	u32 place = hash & ((1U << SEEN_HERE_LOG2) - 1), now_ms = now / 1000000, pause;
	u64 *cell = seen.lookup(&place), held;

	if (!cell)
		return 0;
	held = *(volatile u64 *)cell;
	*(volatile u64 *)cell = hash >> 32 << 32 | now_ms;
	pause = now_ms - (u32)held;
	return held >> 32 == hash >> 32 && pause >= PAUSE_LEAST_MS && pause <= PAUSE_MOST_MS;
}

/* Each trial has a share of its own: one trial does not show which flows are in the next. */
static __always_inline int is_in_share(struct trial *trial, struct packet *packet, u64 hash)
{
	u32 drawn = (u32)(hash >> 32 ^ trial->number) * 0x9e3779b1;

	return packet->protocol != PROTOCOL_UDP && (drawn ^ drawn >> 15) < trial->share;
}

static __always_inline enum chosen choose(struct trial *trial, struct packet *packet, u64 hash,
					  u64 now, int again)
{
	if (is_in_share(trial, packet, hash))
		return within_budget(&trial->share_ns, now, trial->share_cost_ns, SHARE_BURST)
			   ? CHOSEN_BY_SHARE
			   : CHOSEN_NOT;
	if (!again || !trial->again_cost_ns)
		return CHOSEN_NOT;
	return within_budget(&trial->again_ns, now, trial->again_cost_ns, AGAIN_BURST)
		   ? CHOSEN_AGAIN
		   : CHOSEN_NOT;
}

/* Until the record is complete, other CPUs find it without a trial. */
static __always_inline void write_tried(const u64 *seeds, struct tried *tried, struct trial *trial,
					struct packet *packet, u64 hash, u64 now,
					enum chosen chosen)
{
	__be32 network[4] = {packet->source[0]};

	if (packet->family == 6)
		network[1] = packet->source[1];
	*(volatile u32 *)&tried->trial = 0;
	asm volatile("" ::: "memory");
	tried->since_ns = now;
	tried->hash = hash;
	tried->source = flow_hash(seeds, packet->family, network, network, 0, 0) >> 32;
	tried->packets = 1;
	tried->chosen = chosen;
	tried->protocol = packet->protocol;
	asm volatile("" ::: "memory");
	*(volatile u32 *)&tried->trial = trial->number;
}

/* Whether a flow was chosen, or is now; its packet is counted. */
static __always_inline int is_tried(const u64 *seeds, struct trial *trial, struct packet *packet,
				    u64 hash)
{
	u32 place = hash >> 20 & ((1U << TRIED_HERE_LOG2) - 1);
	struct tried *tried = tried_flows.lookup(&place);
	u64 now = rules_ns();
	enum chosen chosen;
	int taken, again;

	if (!tried)
		return 0;
	taken = now < tried->since_ns + TRIED_SECONDS * 1000000000ULL;
	if (taken && tried->hash == hash && tried->trial == trial->number) {
		if (tried->packets >= TRIED_PACKETS)
			return 0;
		tried->packets++;
		return 1;
	}
	again = comes_again(hash, now); /* noted, even if another flow has the place */
	if (taken)
		return 0;
	chosen = choose(trial, packet, hash, now, again);
	if (chosen == CHOSEN_NOT)
		return 0;
	write_tried(seeds, tried, trial, packet, hash, now, chosen);
	return 1;
}

/* Whether a packet that a signature would drop passes, because it is on trial. */
static __always_inline int on_trial(struct xdp_md *ctx, struct search *search,
				    struct packet *packet, u32 slot)
{
	u32 number = slot - SLOT_SIGNATURES;
	struct trial *trial = trials.lookup(&number);
	struct slot *held = slots.lookup(&slot);
	u64 hash;

	if (!trial || !held || !(*(volatile u64 *)&held->word & WORD_TRIAL))
		return 0;
	if (search->explanation || !*(volatile u32 *)&trial->number)
		return 0;
	hash = hash_of_trial(ctx, search->control->seeds, packet);
	if (!hash || !is_tried(search->control->seeds, trial, packet, hash))
		return 0;
	__sync_fetch_and_add(&trial->passed, 1);
	return 1;
}
