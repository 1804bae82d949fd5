/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of prefixes, and its maps: the most specific prefix that covers an address decides.
 * What comes in is looked up by its source, and what goes out by its destination. Each of the two
 * defines eval_slot() and struct search for itself.
 */

/* The loader creates the map with the size from the settings; no program depends on it. */
#define SIZED_BY_LOADER 1

BPF_F_TABLE("array", u32, u64, front6, (1U << FRONT_UNITS_LOG2) / 64, MMAPABLE);
BPF_F_TABLE("array", u32, struct near4, near4, 1U << NEAR4_UNITS_LOG2, MMAPABLE);
BPF_F_TABLE("array", u32, struct near6, near6, 1U << NEAR6_UNITS_LOG2, MMAPABLE);
BPF_F_TABLE("array", u32, u64, single6, (1U << SINGLE6_UNITS_LOG2) / 64, MMAPABLE);
BPF_F_TABLE("array", u32, struct bucket, cells4, SIZED_BY_LOADER, MMAPABLE);
BPF_F_TABLE("array", u32, struct bucket, cells6, SIZED_BY_LOADER, MMAPABLE);
BPF_F_TABLE("array", u32, struct entry6, entries6, SIZED_BY_LOADER, MMAPABLE);
BPF_F_TABLE("array", u32, struct node, nodes, SIZED_BY_LOADER, MMAPABLE);
BPF_F_TABLE("array", u32, struct slot, slots, SIZED_BY_LOADER, MMAPABLE);
BPF_F_TABLE("percpu_array", u32, struct hits, hits, SIZED_BY_LOADER, 0);
BPF_F_TABLE("array", u32, struct control, controls, 1, MMAPABLE);

VALUES(u64, front6)
VALUES(struct near4, near4)
VALUES(struct near6, near6)
VALUES(u64, single6)
VALUES(struct control, controls)

struct search;

/* The verdict of a slot with its number; REASON_NONE: the search goes on. */
static __always_inline u32 eval_slot(struct search *search, u32 number);
static __always_inline u64 rules_ns(void);

static __always_inline int has_expired(u64 word)
{
	u64 expires_ns = word & ~(u64)WORD_FLAGS;

	return expires_ns && expires_ns <= rules_ns();
}

/* In softirq context nothing else on this CPU writes these counters. */
static __always_inline void add(struct hits *hits, u64 bytes)
{
	hits->packets++;
	hits->bytes += bytes;
}

/* The first slot of a value's list; *value becomes the rest of the list, 0 if there is none. */
static __always_inline u32 next_slot(u32 *value)
{
	u32 index = *value & ~(u32)VALUE_LIST;
	struct node *node;
	u64 whole;

	if (!(*value & VALUE_LIST)) {
		*value = 0;
		return index;
	}
	node = nodes.lookup(&index);
	whole = node ? *(volatile u64 *)node : 0;
	*value = whole >> 32;
	return whole;
}

static __always_inline u64 key4(u32 address, u32 length)
{
	return (u64)address << 6 | length;
}

/* Whether a prefix that is longer than a unit of `near` may be listed. */
static __always_inline int may_list4(struct control *control, struct near4 *near, u32 address,
				     u32 length)
{
	return near->hashes >> (key4(address, length) * control->seeds[1] >> 59) & 1;
}

/* The value of exactly this prefix, 0 if it is not listed; searches its one or two buckets. */
static __always_inline u32 find4(struct control *control, u32 address, u32 length)
{
	u64 key = key4(address, length);
	u32 log2 = size_of(control, 0);
	u32 index = bucket_of(key * control->seeds[0], log2), value;
	struct bucket *bucket = cells4.lookup(&index);

	if (!bucket)
		return 0;
	value = find_in(bucket, key);
	if (value || !overflowed(bucket))
		return value;
	index = bucket_of(key * control->seeds[1], log2);
	bucket = cells4.lookup(&index);
	return bucket ? find_in(bucket, key) : 0;
}

/* Whether anything is listed near an address: in its /24, or around it. */
static __always_inline int is_near4(struct near4 *near, u32 address)
{
	return bit_of(&near->front, address >> (32 - FRONT_UNITS_LOG2));
}

static __always_inline struct near4 *near_of4(u32 address)
{
	return near4_values() + (address >> (32 - NEAR4_UNITS_LOG2));
}

static __always_inline u32 walk4(struct search *search, struct control *control, struct near4 *near,
				 u32 address)
{
	u32 value = 0, left, length, prefix, reason;

	if (may_list4(control, near, address, 32))
		value = find4(control, address, 32);
	left = near->lengths | control->whole[0] << 31;
	for (int step = 0; step < SEARCH4_MAX; step++) {
		if (!value) {
			if (!left)
				return REASON_NO_RULE;
			length = 31 - lowest_bit(left);
			left &= left - 1;
			prefix = (u64)address >> (32 - length) << (32 - length);
			if (length <= NEAR4_UNITS_LOG2 || may_list4(control, near, prefix, length))
				value = find4(control, prefix, length);
		}
		if (value) {
			reason = eval_slot(search, next_slot(&value));
			if (reason)
				return reason;
		}
	}
	return REASON_FAULT;
}

static __always_inline u32 find_in6(struct bucket *bucket, u64 key, struct address6 *address,
				    u32 length)
{
	u32 index = find_in(bucket, key);
	struct entry6 *entry = entries6.lookup(&index);

	if (!index || !entry || entry->length != length ||
	    host64(((u64 *)entry->address)[0]) != address->high ||
	    host64(((u64 *)entry->address)[1]) != address->low)
		return 0;
	return *(volatile u32 *)&entry->value;
}

static __always_inline u32 find6(struct control *control, struct address6 *address, u32 length)
{
	u64 hash = hash6(control->seeds, address, length), key = hash & KEY_MASK;
	u32 log2 = size_of(control, 1);
	u32 index = bucket_of(hash * control->seeds[2], log2), value;
	struct bucket *bucket = cells6.lookup(&index);

	if (!bucket)
		return 0;
	value = find_in6(bucket, key, address, length);
	if (value || !overflowed(bucket))
		return value;
	index = bucket_of(hash, log2);
	bucket = cells6.lookup(&index);
	return bucket ? find_in6(bucket, key, address, length) : 0;
}

static __always_inline u32 unit_of6(u32 top)
{
	return top * 0x9e3779b1 >> (32 - FRONT_UNITS_LOG2);
}

/* Whether anything is listed near the addresses that begin with these 32 bits. */
static __always_inline int is_near6(u32 top)
{
	return bit_of(front6_values() + unit_of6(top) / 64, unit_of6(top));
}

/* `opaque_zero` is 0, which the verifier does not know. */
static __always_inline u32 walk6(struct search *search, struct control *control, u64 opaque_zero,
				 __be32 *words)
{
	u32 top = host32(words[0]), value = 0, base = 127 + opaque_zero, length, unit, reason;
	struct near6 *near =
	    near6_values() + (unit_of6(top) >> (FRONT_UNITS_LOG2 - NEAR6_UNITS_LOG2));
	struct address6 address, prefix;
	u64 left;

	address.high = (u64)top << 32 | host32(words[1]);
	address.low = (u64)host32(words[2]) << 32 | host32(words[3]);
	if (near->shorter >> NEAR6_SINGLES) {
		unit = hash6(control->seeds, &address, 128) * control->seeds[2] >>
		       (64 - SINGLE6_UNITS_LOG2);
		if (bit_of(single6_values() + unit / 64, unit))
			value = find6(control, &address, 128);
	}
	left = near->longer;
	for (int step = 0; step < SEARCH6_MAX; step++) {
		if (!value && !left) {
			if (base == 63)
				return REASON_NO_RULE;
			base = 63 + opaque_zero;
			left = near->shorter << 1 >> 1 | (u64)control->whole[1] << 63;
			continue;
		}
		if (!value) {
			length = lowest_bit(left);
			left &= left - 1;
			prefix = address;
			if (base == 127) {
				prefix.low = first_bits(address.low, 63 - length);
			} else {
				prefix.low = 0;
				prefix.high = first_bits(address.high, 63 - length);
			}
			value = find6(control, &prefix, base - length);
		}
		if (value) {
			reason = eval_slot(search, next_slot(&value));
			if (reason)
				return reason;
		}
	}
	return REASON_FAULT;
}
