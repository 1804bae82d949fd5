// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Traffic for the demo, the lab tests and the benchmark; never attached to anything.
 *
 * Both programs are run by BPF_PROG_TEST_RUN on an untagged IPv4 frame without options, take
 * the next source address from a list and mend the checksums. `flood` sends the frame out of an
 * interface (live-frames mode); `walk` hands it to the program under test.
 */
#include "parse.h"

#ifndef SOURCES_MAX
#define SOURCES_MAX 524288
#endif

struct generator {
	u32 ifindex;
	u32 sources;	   /* how many of the list to use */
	u32 ip_sum;	   /* of the header without source and checksum */
	u32 transport_sum; /* of pseudo-header, header and payload without source and port */
	u32 transport;	   /* offset of the transport checksum, 0: leave it alone */
	u32 pad;
};

BPF_F_TABLE("array", u32, struct generator, generators, 1, 0);
BPF_F_TABLE("array", u32, __be32, sources, SOURCES_MAX, 0);
BPF_F_TABLE("percpu_array", u32, u64, cursors, 1, 0);
BPF_PROG_ARRAY(tested, 1);

static __always_inline u16 folded(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline struct generator *rewrite(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv4 *ip = data + sizeof(struct ethernet);
	struct ports *ports = (void *)(ip + 1);
	struct generator *generator;
	u32 zero = 0, index, sum;
	__be32 *source;
	u64 *cursor;

	generator = generators.lookup(&zero);
	cursor = cursors.lookup(&zero);
	if (!generator || !cursor || (void *)ports + 20 > end)
		return NULL;
	index = generator->sources ? (*cursor)++ % generator->sources : 0;
	source = sources.lookup(&index);
	if (!source)
		return NULL;
	ip->source = *source;
	sum = (ip->source & 0xffff) + (ip->source >> 16);
	ip->checksum = folded(generator->ip_sum + sum);
	if (!generator->transport)
		return generator;
	ports->source = *cursor;
	sum += generator->transport_sum + ports->source;
	if (generator->transport == 16)
		*(u16 *)((void *)ports + 16) = folded(sum);
	else
		*(u16 *)((void *)ports + 6) = folded(sum);
	return generator;
}

int flood(struct xdp_md *ctx)
{
	struct generator *generator = rewrite(ctx);

	return generator ? bpf_redirect(generator->ifindex, 0) : XDP_ABORTED;
}

int walk(struct xdp_md *ctx)
{
	if (!rewrite(ctx))
		return XDP_ABORTED;
	tested.call(ctx, 0);
	return XDP_ABORTED;
}

/* The floor that every figure is measured over. */
int bare_drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}
