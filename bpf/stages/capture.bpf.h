/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stage that copies the beginning of a packet to the ring buffer `captures`. */

/* The packet has been counted before. The reader polls the ring, so it is not woken up. */
int capture(struct xdp_md *ctx)
{
	u32 zero = 0, bytes = frame_length(ctx), size = bytes;
	struct pending *asked = pending.lookup(&zero);
	struct scratch *scratch = scratches.lookup(&zero);
	struct control *control = controls.lookup(&zero);
	struct capture *capture;

	if (!asked || !scratch || !control)
		return XDP_PASS;
	capture = &scratch->capture;
	if (!control->capture_slot || control->capture_slot == asked->slot) {
		capture->time_ns = bpf_ktime_get_ns();
		capture->interface = ctx->ingress_ifindex;
		capture->length = bytes;
		capture->reason = asked->reason;
		capture->slot = asked->slot;
		if (size > CAPTURE_BYTES)
			size = CAPTURE_BYTES;
		/* so that the verifier of 6.1 knows the range, whichever register is used */
		asm volatile("" : "+r"(size));
		size = ((size - 1) & (CAPTURE_BYTES - 1)) + 1;
		if (load_bytes(ctx, 0, capture->head, size) < 0 ||
		    captures.ringbuf_output(capture, sizeof(*capture), BPF_RB_NO_WAKEUP) < 0)
			asked->lost++;
	}
	return asked->reason >= REASON_DROPPED ? XDP_DROP : XDP_PASS;
}
