/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The source table: the most specific prefix that covers a packet's source decides. */

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

/*
 * Exemptions matter only if something is listed near the source, so they are read only then. The
 * results are hidden from the verifier, which would otherwise explore the table for each case.
 */
static __always_inline void read_exemptions(struct xdp_md *ctx, struct search *search,
					    struct packet *packet)
{
	search->exempt = may_be_exempt(ctx, packet) ^ search->opaque_zero;
	asm volatile("" : "+r"(search->exempt)); /* computed here, not later */
	if (search->outside) {
		search->neighbourly =
		    is_of_neighbour(ctx, search->control, packet) ^ search->opaque_zero;
		asm volatile("" : "+r"(search->neighbourly));
		search->of_inside = is_error_of_inside(packet) ^ search->opaque_zero;
		asm volatile("" : "+r"(search->of_inside));
	}
}

static __always_inline u32 source_ipv4(struct xdp_md *ctx, struct search *search,
				       struct packet *packet)
{
	u32 address = host32(search->source[0]);
	struct near4 *near = near4_values() + (address >> (32 - NEAR4_UNITS_LOG2));
	struct control *control = search->control;
	u32 value = 0, left, length, prefix, reason;

	if (!bit_of(&near->front, address >> (32 - FRONT_UNITS_LOG2)))
		return REASON_NO_RULE;
	read_exemptions(ctx, search, packet);
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

static __always_inline u32 source_ipv6(struct xdp_md *ctx, struct search *search,
				       struct packet *packet)
{
	u32 top = host32(search->source[0]), value = 0, base = 127 + search->opaque_zero, length;
	u32 unit = top * 0x9e3779b1 >> (32 - FRONT_UNITS_LOG2);
	struct control *control = search->control;
	struct address6 address, prefix;
	struct near6 *near;
	u32 reason;
	u64 left;

	if (!bit_of(front6_values() + unit / 64, unit))
		return REASON_NO_RULE;
	read_exemptions(ctx, search, packet);
	near = near6_values() + (unit >> (FRONT_UNITS_LOG2 - NEAR6_UNITS_LOG2));
	address.high = (u64)top << 32 | host32(search->source[1]);
	address.low = (u64)host32(search->source[2]) << 32 | host32(search->source[3]);
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
			base = 63 + search->opaque_zero;
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
