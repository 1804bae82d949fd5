/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How services inside serve: connections, answers, and how long a client waits for them.
 * Waits begin with packets that come in and are sampled, and end where the answer goes out.
 */

#define SERVED_MAX  (FLOWS_LOG2 ? 1U << SERVED_LOG2 : 1U)
#define AWAITED_MAX (FLOWS_LOG2 ? 1U << AWAITED_LOG2 : 1U)
#define AWAITED_ALL (ANSWERS_MAX * AWAITED_MAX)
#define PATIENCE_NS 20000000000ULL /* a client that asks again within this time still waits */

enum answer {
	ANSWER_SYN_ACK, /* to forged SYNs, too */
	ANSWER_DATA,	/* after a handshake */
	ANSWERS_MAX,
};

/* A flow, by its hash, and since when it awaits an answer. Another flow may take its place. */
struct awaited {
	u64 flow;
	u64 since_ns;
};

BPF_F_TABLE("array", u32, struct served, served, SERVED_MAX, MMAPABLE);
BPF_F_TABLE("array", u32, struct awaited, awaited, AWAITED_ALL, MMAPABLE);

/* `port` is the upper half of `ports` in flow_hash(). */
static __always_inline struct served *service_of(const u64 *seeds, u32 family, __be32 *inside,
						 u32 port, u32 protocol)
{
	__be32 nobody[4] = {};
	u64 hash = flow_hash(seeds, family, inside, nobody, port & 0xffff0000U, protocol);
	u32 index = hash & (SERVED_MAX - 1), tag = hash >> 32 | 1;
	struct served *cell = served.lookup(&index);

	if (cell && *(volatile u32 *)&cell->tag != tag) {
		__builtin_memset(cell, 0, sizeof(*cell));
		*(volatile u32 *)&cell->tag = tag;
	}
	return cell;
}

static __always_inline struct awaited *awaited_of(u64 flow, enum answer answer)
{
	u32 place = answer * AWAITED_MAX + (flow & (AWAITED_MAX - 1));

	return awaited.lookup(&place);
}

/* A client that asks again has waited since its first question. */
static __always_inline void await(u64 flow, enum answer answer)
{
	struct awaited *cell = awaited_of(flow, answer);
	u64 now = bpf_ktime_get_ns();

	if (!cell || (*(volatile u64 *)&cell->flow == flow &&
		      now - *(volatile u64 *)&cell->since_ns < PATIENCE_NS))
		return;
	*(volatile u64 *)&cell->since_ns = now;
	*(volatile u64 *)&cell->flow = flow;
}

/* Whether this answer was awaited; *wait is for how long, as a class. */
static __always_inline int came(u64 flow, enum answer answer, u32 *wait)
{
	struct awaited *cell = awaited_of(flow, answer);
	u64 since, passed;

	if (!cell || *(volatile u64 *)&cell->flow != flow)
		return 0;
	since = *(volatile u64 *)&cell->since_ns;
	*(volatile u64 *)&cell->flow = 0;
	passed = (bpf_ktime_get_ns() - since) >> WAIT_LOG2;
	*wait = 0;
#pragma unroll
	for (int step = 0; step < WAITS - 1; step++)
		*wait += passed >> 2 * step ? 1 : 0;
	return 1;
}
