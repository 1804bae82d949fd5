/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stage that copies the beginning of a packet to user space: to the ring buffer `heads` for
 * everybody who watches traffic, and to `captures` if a capture asks for packets like this one. The
 * packet has been counted before. The readers poll the rings, so they are not woken up. Packets
 * that no rule decided are thinned by strata (stages/strata.bpf.h).
 */

#if LINK_LAYER == LINK_ETHERNET
static __always_inline long copy_frame(struct xdp_md *ctx, struct capture *capture, u32 bytes)
{
	return copy(ctx, 0, capture->head, bytes, CAPTURE_BYTES);
}
#else
/* In a capture all frames have an Ethernet header, so packets without one get an empty one. */
static __always_inline long copy_frame(struct xdp_md *ctx, struct capture *capture, u32 bytes)
{
	struct ethernet *ethernet = (void *)capture->head;
	u32 size = bytes - 1, most = CAPTURE_BYTES - sizeof(*ethernet);

	capture->length += sizeof(*ethernet);
	__builtin_memset(ethernet, 0, sizeof(*ethernet));
	if (size >= most)
		size = most - 1;
	asm volatile("" : "+r"(size)); /* as in copy() */
	if (size >= most || load_bytes(ctx, 0, ethernet + 1, size + 1) < 0)
		return -1;
	ethernet->type = type_by_version(capture->head[sizeof(*ethernet)]);
	return 0;
}
#endif

static __always_inline void copy_capture(struct xdp_md *ctx, struct pending *asked,
					 struct scratch *scratch, u32 bytes)
{
	struct capture *capture = &scratch->capture;

	capture->time_ns = bpf_ktime_get_ns();
	capture->interface = ctx->ingress_ifindex;
	capture->length = bytes;
	capture->reason = asked->reason;
	capture->slot = asked->slot;
	if (copy_frame(ctx, capture, bytes) < 0 ||
	    captures.ringbuf_output(capture, sizeof(*capture), BPF_RB_NO_WAKEUP) < 0)
		asked->lost++;
}

/* The outermost tag, and the EtherType. */
static __always_inline void copy_link(struct xdp_md *ctx, struct head *head)
{
	__be16 words[3] = {};

	head->vlan = NO_VLAN;
	head->ethertype = 0;
	if (LINK_LAYER != LINK_ETHERNET || load_bytes(ctx, TYPE_AT, words, sizeof(words)) < 0)
		return;
	head->ethertype = host16(words[0]);
	if (!is_vlan(words[0]))
		return;
	head->vlan = host16(words[1]) & (NO_VLAN - 1);
	head->ethertype = host16(words[2]);
}

/* Parses the packet again, and counts it by its kind. */
static __always_inline void count_volume(struct xdp_md *ctx, struct scratch *scratch, u32 bytes,
					 u32 weight)
{
	struct hits *volume;
	u32 kind;

	scratch->packet.family = 0;
	scratch->packet.ip = LINK_LENGTH;
	parse_again(ctx, scratch);
	kind = traffic_kind(ctx, scratch);
	scratch->head.traffic = kind;
	scratch->head.stratum = 0;
	volume = volumes.lookup(&kind);
	if (volume) {
		volume->packets += weight;
		volume->bytes += (u64)weight * bytes;
	}
}

/* Thins the packets of a stratum; returns what stratify() returns. */
static __always_inline u32 thin_stratum(struct control *control, struct scratch *scratch,
					u32 weight)
{
	u32 key = stratum_of(control, &scratch->packet, scratch->head.traffic);
	struct stratum *stratum = strata.lookup(&key);

	if (!stratum)
		return weight;
	weight = stratify(stratum, control->epoch, weight);
	scratch->head.stratum = stratum->packets;
	return weight;
}

/* Begins to measure for how long a client waits for the answer to its SYN. */
static __always_inline void await_syn_ack(struct xdp_md *ctx, struct control *control,
					  struct packet *packet)
{
	struct transport head = {};
	struct ports ports = {};

	if (load_transport(ctx, packet->offset, &head, 4) < 0)
		return;
	ports.source = head.source_port;
	ports.destination = head.destination_port;
	await(hash_of_flow(control->seeds, packet, &ports), ANSWER_SYN_ACK);
}

static __always_inline void copy_head(struct xdp_md *ctx, struct control *control,
				      struct pending *asked, struct scratch *scratch,
				      struct pace *pace, u32 bytes, u32 weight)
{
	struct head *head = &scratch->head;
	u32 offset = scratch->packet.ip;

	head->time_ns = bpf_ktime_get_ns();
	head->length = bytes;
	head->weight = weight;
	head->slot = asked->slot;
	head->interface = ctx->ingress_ifindex;
	head->reason = asked->reason;
	__builtin_memset(head->mac, 0, sizeof(head->mac));
	head->came_by = 0;
	copy_link(ctx, head);
	head->family = scratch->packet.family;
	head->flow = FLOW_NOT_ASKED;
	if (head->family && asking() != ASKS_NOT)
		head->flow = flow_of(ctx, control, &scratch->packet, 1);
	if (head->flow == FLOW_KNOWN && asked->reason == REASON_KNOWN && scratch->shaken)
		head->flow = FLOW_SHAKEN;
	if (head->flow == FLOW_UNKNOWN && head->traffic == TRAFFIC_SYN)
		await_syn_ack(ctx, control, &scratch->packet);
	head->bytes_held = 0;
	if (bytes > offset) {
		head->bytes_held = bytes - offset < HEAD_BYTES ? bytes - offset : HEAD_BYTES;
		if (copy(ctx, offset, head->bytes, bytes - offset, HEAD_BYTES) < 0)
			head->bytes_held = 0;
	}
	if (heads.ringbuf_output(head, sizeof(*head), BPF_RB_NO_WAKEUP) < 0)
		pace->lost += weight;
}

int observe(struct xdp_md *ctx)
{
	u32 zero = 0, bytes = frame_length(ctx), reason, every, weight, mask;
	struct pending *asked = pending.lookup(&zero);
	struct scratch *scratch = scratches.lookup(&zero);
	struct control *control = controls_values();
	struct pace *pace = paces.lookup(&zero);
	struct hits *counter;

	if (!asked || !scratch || !pace)
		return pass_on(ctx, XDP_PASS);
	reason = asked->reason;
	counter = counters.lookup(&reason);
	mask = control->captured[reason % REASONS];
	if (counter && mask != NEVER && is_sampled(counter->packets, mask) &&
	    (!control->capture_slot || control->capture_slot == asked->slot))
		copy_capture(ctx, asked, scratch, bytes);
	every = control->observed[reason % REASONS] + 1;
	weight = every ? thin(control, pace, every) * every : 0; /* 0: NEVER + 1 */
	if (weight) {
		count_volume(ctx, scratch, bytes, weight);
		if (reason == REASON_NO_RULE && scratch->packet.family)
			weight = thin_stratum(control, scratch, weight);
		if (weight)
			copy_head(ctx, control, asked, scratch, pace, bytes, weight);
	}
	return heard(ctx, leave_with(ctx, reason, asked->slot));
}
