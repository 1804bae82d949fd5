// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Generates traffic for the demo, the lab tests and the benchmark; never attached to an interface.
 *
 * `flood` and `walk` are run by BPF_PROG_TEST_RUN on an untagged frame: IPv4 without options, or
 * IPv6 without extension headers. They insert the next source address of a list and update the
 * checksums. `flood`, a program at TC, sends a copy of the frame from an interface. `redirect` does
 * so at XDP, with less CPU time, but needs the live-frames mode, which kernels may refuse. `walk`
 * tail-calls the program under test.
 */
#include "parse.h"

#ifndef SOURCES_MAX
#define SOURCES_MAX (1 << 20)
#endif

#define HEAD_IPV4 54 /* bytes: Ethernet, IP, and 20 of transport */
#define HEAD_IPV6 74
#define HEAD_MAX  80

#define TC_ACT_SHOT 2

struct generator {
	u32 ifindex;
	u32 sources;	   /* how many addresses of the list to use */
	u32 ip_sum;	   /* IPv4: sum of the header without source and checksum */
	u32 transport_sum; /* sum of pseudo-header, header and payload, without source and port */
	u32 transport;	   /* offset of the transport checksum, 0: do not change it */
	u32 family;
	u8 head[HEAD_MAX]; /* the frame, up to 20 bytes of transport */
};

struct source6 {
	u32 words[4];
};

BPF_F_TABLE("array", u32, struct generator, generators, 1, 0);
BPF_F_TABLE("array", u32, __be32, sources, SOURCES_MAX, MMAPABLE);
BPF_F_TABLE("array", u32, struct source6, sources6, SOURCES_MAX, MMAPABLE);
BPF_F_TABLE("percpu_array", u32, u64, cursors, 1, 0);
BPF_PROG_ARRAY(tested, 1);

static __always_inline u16 folded(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Set source port and checksum; `sum` is the source address's. False if the frame is too short. */
static __always_inline bool mend(struct generator *generator, void *transport, void *end, u64 sum,
				 u16 port)
{
	struct ports *ports = transport;

	if (transport + 20 > end)
		return false;
	if (!generator->transport)
		return true;
	ports->source = port;
	sum += generator->transport_sum + ports->source;
	if (generator->transport == 16)
		*(u16 *)(transport + 16) = folded(sum);
	else
		*(u16 *)(transport + 6) = folded(sum);
	return true;
}

static __always_inline bool rewrite4(void *data, void *end, struct generator *generator, u32 index,
				     u16 port)
{
	struct ipv4 *ip = data + sizeof(struct ethernet);
	__be32 *source = sources.lookup(&index);
	u32 sum;

	if (!source || data + HEAD_IPV4 > end)
		return false;
	__builtin_memcpy(data, generator->head, HEAD_IPV4); /* it may have been answered in place */
	ip->source = *source;
	sum = (ip->source & 0xffff) + (ip->source >> 16);
	ip->checksum = folded(generator->ip_sum + sum);
	return mend(generator, ip + 1, end, sum, port);
}

static __always_inline bool rewrite6(void *data, void *end, struct generator *generator, u32 index,
				     u16 port)
{
	struct ipv6 *ip = data + sizeof(struct ethernet);
	struct source6 *source = sources6.lookup(&index);
	u64 sum = 0;

	if (!source || data + HEAD_IPV6 > end)
		return false;
	__builtin_memcpy(data, generator->head, HEAD_IPV6);
#pragma unroll
	for (int word = 0; word < 4; word++) {
		ip->source[word] = source->words[word];
		sum += source->words[word];
	}
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	return mend(generator, ip + 1, end, sum, port);
}

static __always_inline struct generator *rewrite(void *data, void *end)
{
	u32 zero = 0, index;
	struct generator *generator = generators.lookup(&zero);
	u64 *cursor = cursors.lookup(&zero);
	bool done;

	if (!generator || !cursor)
		return NULL;
	index = generator->sources ? (*cursor)++ % generator->sources : 0;
	if (generator->family == 6)
		done = rewrite6(data, end, generator, index, *cursor);
	else
		done = rewrite4(data, end, generator, index, *cursor);
	return done ? generator : NULL;
}

int flood(struct __sk_buff *skb)
{
	struct generator *generator = rewrite((void *)(long)skb->data, (void *)(long)skb->data_end);

	return generator ? bpf_clone_redirect(skb, generator->ifindex, 0) : TC_ACT_SHOT;
}

static __always_inline struct generator *rewrite_frame(struct xdp_md *ctx)
{
	return rewrite((void *)(long)ctx->data, (void *)(long)ctx->data_end);
}

int redirect(struct xdp_md *ctx)
{
	struct generator *generator = rewrite_frame(ctx);

	return generator ? bpf_redirect(generator->ifindex, 0) : XDP_ABORTED;
}

int walk(struct xdp_md *ctx)
{
	if (!rewrite_frame(ctx))
		return XDP_ABORTED;
	tested.call(ctx, 0);
	return XDP_ABORTED;
}

/* With any XDP program, a veth end receives what the other end sends back by XDP_TX. */
int bare_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

/* The baseline of every measurement. */
int bare_drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}
