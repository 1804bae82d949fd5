/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CLOCK_MONOTONIC as of the last tick. The helper that reads it costs 18 ns, and what it returns
 * changes only when the kernel's count of ticks does, which costs nothing to read. So each CPU asks
 * the helper once a tick.
 */

struct tick {
	u64 count; /* of ticks, when `ns` was read */
	u64 ns;
};

BPF_F_TABLE("percpu_array", u32, struct tick, ticks, 1, 0);

/* Helpers 118 and 160, Linux 5.6 and 5.11. The verifier replaces the first by a load. */
static u64 (*tick_count)(void) = (void *)118;
static u64 (*coarse_ns)(void) = (void *)160;

/*
 * A CPU may read both while another one moves on the count but not yet the time. Then its time
 * stands still until the next tick.
 */
static __always_inline u64 tick_ns(void)
{
	u32 zero = 0;
	struct tick *tick = ticks.lookup(&zero);
	u64 now = tick_count();

	if (!tick)
		return coarse_ns();
	if (tick->count != now) {
		tick->ns = coarse_ns();
		tick->count = now;
	}
	return *(volatile u64 *)&tick->ns;
}
