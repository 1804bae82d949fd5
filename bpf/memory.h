/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A memory of elements by their hashes: a pair of blocked Bloom filters, see abi/flows.h. Pure
 * functions that access no map; whoever asks passes the block.
 */
#ifndef XDPCTL_MEMORY_H
#define XDPCTL_MEMORY_H

#include "cells.h"

#define BUDGET_ELEMENTS 4096 /* of one teacher at once */

/* Read it once for both generations, because it may change in between. */
static __always_inline u64 state_of(struct memory *memory)
{
	return *(volatile u64 *)&memory->state;
}

static __always_inline u64 generation_of(u64 state)
{
	return state >> GENERATION_SHIFT;
}

static __always_inline u32 block_of(u32 blocks_log2, u64 hash)
{
	return hash >> BLOCK_BITS & ((1U << blocks_log2) - 1);
}

/* 1 if a block has all bits of the element in this generation, else 0; without branches. */
static __always_inline u64 has(struct block *block, u64 generation, u64 hash)
{
	u64 half = generation & 1;
	u64 all = is_zero(*(volatile u32 *)&block->generations[half] ^ (u32)generation);

#pragma unroll
	for (int i = 0; i < BLOCK_WORDS; i++) {
		all &= *(volatile u64 *)&block->words[i] >> ((hash & 31) | half << 5);
		hash >>= 5;
	}
	return all;
}

/* 1 if a half of the block has this generation or the one before. */
static __always_inline u64 is_either(struct block *block, u64 half, u64 generation)
{
	u32 wanted = generation - ((generation ^ half) & 1);

	return is_zero(*(volatile u32 *)&block->generations[half] ^ wanted);
}

/* 1 if it has them in this generation or in the one before; asks both halves of a word at once. */
static __always_inline u64 has_either(struct block *block, u64 generation, u64 hash)
{
	u64 all = is_either(block, 0, generation) | is_either(block, 1, generation) << 32;

#pragma unroll
	for (int i = 0; i < BLOCK_WORDS; i++) {
		all &= *(volatile u64 *)&block->words[i] >> (hash & 31);
		hash >>= 5;
	}
	return all | all >> 32;
}

/*
 * Writers on several CPUs may undo each other's bits. Then an element is missing until it is taught
 * again, which its next packet does.
 */
static __always_inline void put(struct block *block, u64 generation, u64 hash)
{
	u64 half = generation & 1, kept = half ? 0xffffffff : 0xffffffff00000000;

	if (block->generations[half] != (u32)generation) {
#pragma unroll
		for (int i = 0; i < BLOCK_WORDS; i++)
			block->words[i] &= kept;
		*(volatile u32 *)&block->generations[half] = (u32)generation;
	}
#pragma unroll
	for (int i = 0; i < BLOCK_WORDS; i++) {
		block->words[i] |= 1ULL << ((hash & 31) | half << 5);
		hash >>= 5;
	}
}

/* Whether the generation is so full that it takes nothing more, although it may not end yet. */
static __always_inline int is_overfull(struct memory *memory)
{
	return (u32)state_of(memory) >= 2 * memory->full;
}

/*
 * Begins the next generation if it is time, also if this one takes nothing more. One CPU does it.
 */
static __always_inline void advance(struct memory *memory, u64 now)
{
	u64 state = state_of(memory), since = *(volatile u64 *)&memory->since_ns;
	u64 full = (u32)state >= memory->full;

	if (now < since + memory->least_ns || (!full && now < since + memory->age_ns))
		return;
	if (__sync_val_compare_and_swap(&memory->since_ns, since, now) != since)
		return;
	memory->early += full;
	memory->earlier = (u32)state;
	*(volatile u64 *)&memory->state = (generation_of(state) + 1) << GENERATION_SHIFT;
}

/* Whether a memory has an element, whose block is given. */
static __always_inline int remembers(struct memory *memory, struct block *block, u64 hash)
{
	return block && has_either(block, generation_of(state_of(memory)), hash) & 1;
}

/* Adds an element that this generation lacks. */
static __always_inline void add_element(struct memory *memory, struct block *block, u64 hash,
					u64 now)
{
	advance(memory, now);
	put(block, generation_of(state_of(memory)), hash);
	__sync_fetch_and_add(&memory->state, 1);
}

/* Counts an element that was not added, and notes its teacher. */
static __always_inline void refuse_element(struct memory *memory, u64 now, u32 family,
					   __be32 *teacher)
{
	advance(memory, now);
	__sync_fetch_and_add(&memory->refused, 1);
	memory->refused_family = family;
	__builtin_memcpy(memory->refused_of, teacher, sizeof(memory->refused_of));
}

/* Whether a bucket takes another element (GCRA), with so many at once; if so, it is added. */
static __always_inline int within_budget(u64 *bucket, u64 now, u64 cost_ns, u64 burst)
{
	u64 held = *(volatile u64 *)bucket;

	if (held > now + cost_ns * burst)
		return 0;
	*(volatile u64 *)bucket = (held < now ? now : held) + cost_ns;
	return 1;
}

#endif
