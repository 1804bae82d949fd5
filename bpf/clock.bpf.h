/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clocks of rules and of limits. The filter reads the kernel's for both. A rehearsal
 * (REHEARSAL) has another build: limits go by the clock of a recording, and rules do not expire.
 */

#ifdef REHEARSAL
/* Written by user space before each packet; `ns` is 0 if limits do not go by a recording's clock.
 */
BPF_F_TABLE("array", u32, struct recorded, recorded, 1, MMAPABLE);

static __always_inline u64 rules_ns(void)
{
	/*
	 * The rules in force when the rehearsal begins stay in force, so it is some ns after boot.
	 * The verifier needs a call here, as in the filter: its states differ otherwise.
	 */
	return bpf_get_smp_processor_id();
}

static __always_inline u64 limits_ns(void)
{
	u32 zero = 0;
	struct recorded *packet = recorded.lookup(&zero);

	return packet ? *(volatile u64 *)&packet->ns : 0;
}

/* The length on the wire: a recording may have only the beginning of a packet. */
static __always_inline u64 limited_bytes(u64 bytes)
{
	u32 zero = 0;
	struct recorded *packet = recorded.lookup(&zero);

	return packet && packet->ns ? packet->bytes : bytes;
}

/* Whether `explain` adds to buckets. */
static __always_inline int explain_adds(u64 now)
{
	return now != 0;
}
#else
static __always_inline u64 rules_ns(void)
{
	return tick_ns();
}

static __always_inline u64 limits_ns(void)
{
	return tick_ns();
}

static __always_inline u64 limited_bytes(u64 bytes)
{
	return bytes;
}

static __always_inline int explain_adds(u64 now)
{
	return 0;
}
#endif
