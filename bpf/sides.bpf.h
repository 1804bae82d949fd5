/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * On which side of an outside interface an address is. For most addresses, one bit says that
 * nothing is known; otherwise a trie has the side.
 */

BPF_F_TABLE("array", u32, u64, sided4, (1U << SIDE_UNITS_LOG2) / 64, MMAPABLE);
BPF_F_TABLE("array", u32, u64, sided6, (1U << SIDE_UNITS_LOG2) / 64, MMAPABLE);
BPF_F_TABLE("lpm_trie", struct side_key4, u32, sides4, SIDES_MAX, BPF_F_NO_PREALLOC);
BPF_F_TABLE("lpm_trie", struct side_key6, u32, sides6, SIDES_MAX, BPF_F_NO_PREALLOC);

VALUES(u64, sided4)
VALUES(u64, sided6)

static __always_inline int is_known_ipv4(__be32 source)
{
	u32 unit = host32(source) >> (32 - SIDE_UNITS_LOG2);

	return bit_of(sided4_values() + unit / 64, unit);
}

/* Sources not in 2000::/3 are not on the Internet (RFC 4291 section 2.4): always use the trie. */
static __always_inline int is_known_ipv6(__be32 first)
{
	u32 top = host32(first), unit = top * 0x9e3779b1 >> (32 - SIDE_UNITS_LOG2);

	return top >> 29 != 1 || bit_of(sided6_values() + unit / 64, unit);
}

/* Of ICMP (RFC 792) or ICMPv6 (RFC 4443). */
static __always_inline int is_error_type(u32 family, u8 type)
{
	if (family == 6)
		return type >= 1 && type <= 4;
	return type == 3 || type == 11 || type == 12;
}
