/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies the beginning of a packet that goes out to user space, by which hosts inside are found
 * that attack others. A stratum is what one source sends that begins flows, or what else it sends.
 */

BPF_F_TABLE("percpu_array", u32, struct scratch, scratches, 1, 0);
BPF_F_TABLE("percpu_array", u32, struct pace, paces_out, 1, 0);
BPF_F_TABLE("percpu_array", u32, struct stratum, strata_out, 1U << STRATA_LOG2, 0);
BPF_RINGBUF_OUTPUT(heads_out, HEADS_OUT_PAGES);

/* Tail-calls the program below for about one packet in mask + 1 of its class. */
static __always_inline void observe_some(struct __sk_buff *ctx, struct control *control, u32 class)
{
	u32 mask;

	asm volatile("" : "+r"(class)); /* so that the verifier explores one path */
	class &= 1;
	mask = control->observed_out[class];
	if (mask == NEVER || (mask && bpf_get_prandom_u32() & mask))
		return;
	ctx->cb[0] = mask + 1;
	ctx->cb[1] = class;
	leaving.call(ctx, LEAVING_OBSERVE);
}

static __always_inline u32 thin_source(struct control *control, struct packet *packet, u32 class,
				       u32 weight)
{
	struct address6 from = {
	    .high = (u64)packet->source[0] << 32 | packet->source[1],
	    .low = (u64)packet->source[2] << 32 | packet->source[3],
	};
	u32 key = hash6(control->seeds, &from, class) >> (64 - STRATA_LOG2);
	struct stratum *stratum = strata_out.lookup(&key);

	return stratum ? stratify(stratum, control->epoch, weight) : weight;
}

static __always_inline void copy_head_out(struct __sk_buff *ctx, struct scratch *scratch,
					  struct pace *pace, u32 class, u32 weight)
{
	struct head *head = &scratch->head;
	u32 offset = scratch->packet.ip, bytes = ctx->len;

	__builtin_memset(head, 0, __builtin_offsetof(struct head, bytes));
	head->time_ns = tick_ns();
	head->length = bytes;
	head->weight = weight;
	head->slot = SLOT_NONE;
	head->interface = ctx->ifindex;
	head->came_by = ctx->ingress_ifindex;
	head->vlan = NO_VLAN;
	head->family = scratch->packet.family;
	head->flow = class == OUT_BEGINS ? FLOW_UNKNOWN : FLOW_NOT_ASKED;
	read_mac(ctx, head->mac);
	if (bytes <= offset)
		return;
	head->bytes_held = bytes - offset < HEAD_BYTES ? bytes - offset : HEAD_BYTES;
	if (copy(ctx, offset, head->bytes, bytes - offset, HEAD_BYTES) < 0)
		head->bytes_held = 0;
	if (heads_out.ringbuf_output(head, sizeof(*head), BPF_RB_NO_WAKEUP) < 0)
		pace->lost += weight;
}

int observe_out(struct __sk_buff *ctx)
{
	u32 zero = 0, every = ctx->cb[0], class = ctx->cb[1], weight;
	struct scratch *scratch = scratches.lookup(&zero);
	struct pace *pace = paces_out.lookup(&zero);
	struct control *control = controls_values();

	if (!scratch || !pace)
		return GO_ON;
	weight = thin(control, pace, every) * every;
	if (!weight)
		return GO_ON;
	scratch->packet.family = 0;
	scratch->packet.ip = LINK_LENGTH;
	parse_again(ctx, scratch);
	if (!scratch->packet.family)
		return GO_ON;
	weight = thin_source(control, &scratch->packet, class, weight);
	if (weight)
		copy_head_out(ctx, scratch, pace, class, weight);
	return GO_ON;
}
