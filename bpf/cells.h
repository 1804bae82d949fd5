/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bits, hashes and buckets of the source table: pure functions that access no map. The control
 * plane writes the tables; xdpctl/datapath/tables/ has the same hashes in Python.
 */
#ifndef XDPCTL_CELLS_H
#define XDPCTL_CELLS_H

#include "parse.h"

#define VALUE_MASK ((1ULL << CELL_VALUE_BITS) - 1)
#define KEY_MASK   ((1ULL << CELL_KEY_BITS) - 1)

/* Without a branch, because a branch would double the states that the verifier explores. */
static __always_inline u64 is_zero(u64 below_2_63)
{
	u64 sign = below_2_63 - 1;

	asm volatile("" : "+r"(sign));
	return sign >> 63;
}

/*
 * The number of the lowest set bit. BPF has no instruction for it. If clang recognises the usual
 * idiom, it emits a table in a section that bcc does not load.
 */
static __always_inline u32 lowest_bit(u64 x)
{
	x = (x & -x) - 1;
	asm volatile("" : "+r"(x));
	x -= x >> 1 & 0x5555555555555555;
	x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
	return ((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f) * 0x0101010101010101 >> 56;
}

/*
 * The value of a key, 0 if no cell of the bucket has it. At most one cell has it, so all matches
 * are or-ed together, without a branch to mispredict. The lower half is used first, so it nearly
 * always has what is listed, and the search ends there.
 */
static __always_inline u32 find_in(struct bucket *bucket, u64 key)
{
	u64 found = 0;

#pragma unroll
	for (int i = 0; i < BUCKET_CELLS; i++) {
		u64 cell = *(volatile u64 *)&bucket->cells[i];
		u64 equal = (cell >> CELL_VALUE_BITS ^ key) - 1;

		asm volatile("" : "+r"(equal)); /* otherwise clang would emit a branch */
		found |= cell & (u64)((s64)equal >> 63);
		if (i == BUCKET_CELLS / 2 - 1) {
			asm volatile("" : "+r"(found));
			if (found)
				break;
		}
	}
	return found & VALUE_MASK;
}

/* Read it once for both buckets, because the table may be moving to another size. */
static __always_inline u32 size_of(struct control *control, u32 family)
{
	return *(volatile u32 *)&control->buckets_log2[family];
}

/* The table grows and shrinks by moving: each size has a region of its own. */
static __always_inline u32 bucket_of(u64 hash, u32 buckets_log2)
{
	return (hash >> 1 | 1ULL << 63) >> (63 - buckets_log2);
}

/* The last cell of a bucket is used last, and is never 0 again after it was used. */
static __always_inline bool overflowed(struct bucket *bucket)
{
	return bucket->cells[BUCKET_CELLS - 1];
}

static __always_inline bool bit_of(u64 *word, u32 unit)
{
	return *word >> (unit & 63) & 1;
}

struct address6 {
	u64 high;
	u64 low;
};

/* A hash of both words and the length; the control plane computes the same hash. */
static __always_inline u64 hash6(const u64 *seeds, struct address6 *address, u32 length)
{
	u64 x = address->high * seeds[0] + length * seeds[2];

	x = ((x ^ x >> 32) + address->low) * seeds[1];
	return x ^ x >> 29;
}

/* The bucket of an address, or of what else `key` is; `salt` keeps uses of the buckets apart. */
static __always_inline u32 bucket_index(struct control *control, u64 key, u32 salt)
{
	key = key * control->seeds[0] + salt * control->seeds[2];
	key = (key ^ key >> 32) * control->seeds[1];
	return key >> (64 - BUCKETS_LOG2);
}

/* The first n of 64 bits, n below 64. */
static __always_inline u64 first_bits(u64 x, u32 n)
{
	return x >> (63 - n) >> 1 << 1 << (63 - n);
}

#endif
