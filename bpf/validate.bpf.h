/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Source address validation (RFC 2827): what hosts inside send must have a source that may be
 * inside. Those are all whose side is known: our own networks, and what is on the link outside.
 */

/* Whether the box forwards the packet from inside; what it sends itself came in nowhere. */
static __always_inline int is_from_inside(struct __sk_buff *ctx, struct control *control)
{
	u32 from = ctx->ingress_ifindex;
	u64 other = is_zero(from) | is_zero(from ^ ctx->ifindex);

#pragma unroll
	for (int at = 0; at < OUTSIDES_MAX; at++)
		other |= is_zero(control->outsides[at] ^ from);
	return !other;
}

static __always_inline int has_side(u32 family, __be32 *address)
{
	struct side_key6 key6 = {.length = 128};
	struct side_key4 key4 = {.length = 32};

	if (family == 4) {
		__builtin_memcpy(key4.address, address, sizeof(key4.address));
		return is_known_ipv4(address[0]) && sides4.lookup(&key4);
	}
	__builtin_memcpy(key6.address, address, sizeof(key6.address));
	return is_known_ipv6(address[0]) && sides6.lookup(&key6);
}

BPF_F_TABLE("lru_hash", struct sender_key, struct sender, forgers, FORGERS_MAX, 0);

/*
 * What a router inside sends from any of its addresses goes out whatever its source: to several
 * hosts of the link, and ICMP errors, without which hosts outside send packets that are too large
 * for ever (RFC 1191, RFC 8201). BGP and BFD are answered, so their addresses are known to be in
 * use.
 */
static __always_inline int is_of_router(struct __sk_buff *ctx)
{
	struct packet packet = {};
	enum reason why;
	u8 type;

	if (parse(ctx, &packet))
		return 0;
	why = packet.family == 4 ? link_ipv4(ctx, &packet) : link_ipv6(ctx, &packet);
	if (why && (why != REASON_CONTROL || packet.protocol == PROTOCOL_IGMP))
		return 1;
	if (packet.protocol != (packet.family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6))
		return 0;
	return load_bytes(ctx, packet.offset, &type, sizeof(type)) == 0 &&
	       is_error_type(packet.family, type);
}

/* Whether a packet has a forged source, which is copied. */
static __always_inline int is_forged(struct __sk_buff *ctx, struct control *control,
				     struct search *search)
{
	__be32 to[4];

	if (control->bypass || !is_from_inside(ctx, control))
		return 0;
	search->sender.family = read_addresses(ctx, search->destination, to);
	if (!search->sender.family || has_side(search->sender.family, search->destination))
		return 0;
	return !is_of_router(ctx);
}

/*
 * Counts by the MAC address of the frame, since the source shows nobody. The source is in the place
 * of the destination.
 */
static __always_inline void count_forger(struct __sk_buff *ctx, struct search *search)
{
	struct sender *forger;

	read_mac(ctx, (u8 *)search->sender.address);
	count_hit(ctx, SLOT_NONE);
	forger = forgers.lookup(&search->sender);
	if (!forger) {
		forgers.insert(&search->sender, &search->first);
		forger = forgers.lookup(&search->sender);
	}
	if (forger)
		count_sent(ctx, search, forger);
}

int validate(struct __sk_buff *ctx)
{
	struct control *control = controls_values();
	u32 zero = 0;
	struct search *search = searches.lookup(&zero);

	pull_headers(ctx);
	if (search) {
		__builtin_memset(search, 0, sizeof(*search));
		if (is_forged(ctx, control, search)) {
			count_forger(ctx, search);
			if (control->validating == VALIDATE_ENFORCE)
				return KEPT_IN;
		}
	}
	if (control->outgoing)
		leaving.call(ctx, LEAVING_LOOK_UP);
	return police_next(ctx);
}
