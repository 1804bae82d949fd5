/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flow memory: whether a packet belongs to a conversation that the inside takes part in. What
 * goes out teaches it (teach.c), and what comes in is asked for. A flow is known by the hash of its
 * addresses, ports and protocol, seen from the inside.
 */

#ifndef FLOWS_LOG2
#define FLOWS_LOG2 0 /* blocks: none is needed without an outside interface */
#endif

#define ICMP_ECHO   8
#define ICMPV6_ECHO 128

BPF_F_TABLE("array", u32, struct block, flows, 1U << FLOWS_LOG2, MMAPABLE);
BPF_F_TABLE("array", u32, struct memory, memories, MEMORIES_MAX, MMAPABLE);
BPF_F_TABLE("array", u32, u64, budgets, 1U << BUDGETS_LOG2, MMAPABLE);

/* `ports`: the inner one above the outer one; of an echo its identifier. In network order. */
static __always_inline u64 flow_hash(const u64 *seeds, u32 family, __be32 *inside, __be32 *outside,
				     u32 ports, u32 protocol)
{
	u64 x = ((u64)inside[0] << 32 | outside[0]) * seeds[0];

	if (family == 6) {
		x = ((x ^ x >> 32) + ((u64)inside[1] << 32 | outside[1])) * seeds[1];
		x = ((x ^ x >> 32) + ((u64)inside[2] << 32 | outside[2])) * seeds[2];
		x = ((x ^ x >> 32) + ((u64)inside[3] << 32 | outside[3])) * seeds[0];
	}
	x = ((x ^ x >> 32) + ((u64)ports << 16 | protocol)) * seeds[1];
	x = (x ^ x >> 29) * seeds[2];
	return x ^ x >> 32;
}

static __always_inline u64 *budget_of(const u64 *seeds, u32 family, __be32 *teacher)
{
	u64 network = family == 6 ? (u64)teacher[0] << 32 | teacher[1] : teacher[0];
	u32 index = network * seeds[0] >> (64 - BUDGETS_LOG2);

	return budgets.lookup(&index);
}

/* Remembers a flow; a new one only within the budget of its teacher, unless `opens` is 0: never. */
static __always_inline void learn_flow(const u64 *seeds, u32 family, __be32 *teacher, u64 hash,
				       int opens)
{
	u32 number = MEMORY_FLOWS, place = block_of(FLOWS_LOG2, hash);
	struct memory *memory = memories.lookup(&number);
	struct block *block = flows.lookup(&place);
	u64 generation, now, *bucket;

	if (!memory || !block)
		return;
	generation = generation_of(state_of(memory));
	if (has(block, generation, hash) & 1)
		return;
	now = rules_ns();
	if (!(has(block, generation - 1, hash) & 1)) {
		bucket = budget_of(seeds, family, teacher);
		if (!opens || !bucket || !within_budget(memory, bucket, now, family, teacher))
			return;
	}
	put(block, generation, hash);
	count_element(memory, now);
}
