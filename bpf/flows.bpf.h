/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flow memory: whether a packet belongs to a conversation that the inside takes part in.
 * Packets that go out teach it (teach.c), and packets that come in are looked up. A flow is
 * identified by the hash of its addresses, ports and protocol, seen from the inside.
 */

#ifndef FLOWS_LOG2
#define FLOWS_LOG2 0 /* blocks: none is needed without an outside interface */
#endif

#define PROOFS_LOG2 (FLOWS_LOG2 ? 18 : 0)
#define SHAKE	    0x80000000U /* in the tag of a proof */
#define SHAKEN	    0x40000000U
#define TAKEN_UP    (SHAKE | SHAKEN)
#define SCTP	    132

#define ICMP_ECHO   8
#define ICMPV6_ECHO 128

BPF_F_TABLE("array", u32, struct block, flows, 1U << FLOWS_LOG2, MMAPABLE);
BPF_F_TABLE("array", u32, struct memory, memories, MEMORIES_MAX, MMAPABLE);
BPF_F_TABLE("array", u32, u64, budgets, 1U << BUDGETS_LOG2, MMAPABLE);
BPF_F_TABLE("array", u32, u64, proofs, 1U << PROOFS_LOG2, MMAPABLE);

VALUES(struct memory, memories)

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

/* A protocol without ports: its flow is a pair of addresses. */
static __always_inline int is_portless(struct packet *packet)
{
	u32 protocol = packet->protocol & 255;

	if (packet->family == 6 && is_extension(protocol)) /* a later fragment, see parse() */
		return 0;
	return protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP && protocol != PROTOCOL_ICMP &&
	       protocol != PROTOCOL_ICMPV6;
}

/* Whether either generation knows a flow. */
static __always_inline int knows_flow(u64 hash)
{
	u32 place = block_of(FLOWS_LOG2, hash);
	struct memory *memory = memories_values() + MEMORY_FLOWS;
	struct block *block = flows.lookup(&place);

	return remembers(memory, block, hash);
}

/*
 * Proofs that the inside takes part in a TCP flow that is not known yet. A cell is about one flow:
 * 30 bits of the flow's hash, two bits for the meaning of the number, and the number. SHAKE: the
 * number that acknowledges our SYN-ACK. Otherwise it is the last number that the inside has
 * acknowledged; SHAKEN says that our SYN-ACK of the flow was seen. TAKEN_UP: the connection was
 * counted. All flows with the same place share a cell, and the last one has it.
 */
static __always_inline u64 *proof_of(u64 hash)
{
	u32 place = hash & ((1U << PROOFS_LOG2) - 1);

	return proofs.lookup(&place);
}

static __always_inline u64 proof(u64 hash, u32 kind, u32 number)
{
	return (u64)(hash >> 34 | kind) << 32 | number;
}

/* Whether a cell is about this flow, whatever its number means. */
static __always_inline int is_proof_of(u64 held, u64 hash)
{
	return (held << 2 >> 34) == hash >> 34;
}

/* Whether our SYN-ACK of this flow was seen, so it is a service's; true once for each flow. */
static __always_inline int takes_up(u64 hash)
{
	u64 *cell = proof_of(hash), held;
	u32 kind;

	if (!cell)
		return 0;
	held = *(volatile u64 *)cell;
	kind = held >> 32 & TAKEN_UP;
	if (!is_proof_of(held, hash) || !kind || kind == TAKEN_UP)
		return 0;
	*(volatile u64 *)cell = held | (u64)TAKEN_UP << 32;
	return 1;
}

/*
 * Whether a packet that comes in acknowledges the SYN-ACK that went out, so its sender has seen it.
 * Whoever forges a source has to guess 32 bits.
 */
static __always_inline int shakes(u64 hash, struct transport *head)
{
	u32 flags = host16(head->offset_flags) & (FLAG_SYN | FLAG_RST | FLAG_ACK);
	u64 *cell = proof_of(hash);

	return cell && flags == FLAG_ACK &&
	       *(volatile u64 *)cell == proof(hash, SHAKE, host32(head->acknowledged));
}

/*
 * Remembers a flow. A new one is added only within the budget of its teacher, and never if `opens`
 * is 0. Returns whether it was unknown.
 */
static __always_inline int learn_flow(const u64 *seeds, u32 family, __be32 *teacher, u64 hash,
				      int opens)
{
	u32 place = block_of(FLOWS_LOG2, hash);
	struct memory *memory = memories_values() + MEMORY_FLOWS;
	struct block *block = flows.lookup(&place);
	u64 generation, now, *bucket;
	int is_new;

	if (!block)
		return 0;
	generation = generation_of(state_of(memory));
	if (has(block, generation, hash) & 1)
		return 0;
	now = rules_ns();
	is_new = !(has(block, generation - 1, hash) & 1);
	if (is_new) {
		bucket = budget_of(seeds, family, teacher);
		if (!opens || !bucket)
			return 1;
		if (is_overfull(memory) ||
		    !within_budget(bucket, now, memory->cost_ns, BUDGET_ELEMENTS)) {
			refuse_element(memory, now, family, teacher);
			return 1;
		}
	}
	add_element(memory, block, hash, now);
	return is_new;
}
