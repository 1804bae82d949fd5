/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drops what goes out to an address that an out set lists, and counts who sends it. What accepts
 * the address, or protects it, lets out what goes there.
 */

#define COUNTED 4 /* sets that one packet meets: the one that decides, and others */

BPF_F_TABLE("lru_hash", struct sender_key, struct sender, senders, SENDERS_MAX, 0);

/*
 * The state of one packet's look-up, in per-CPU memory: on the stack it would multiply the states
 * that the verifier explores.
 */
struct search {
	struct sender_key sender; /* its slot is filled in for each set */
	__be32 destination[4];
	u64 sets_met;	     /* as bits */
	u64 uncounted;	     /* of these */
	u32 last;	     /* the slot of the last one */
	u32 kept_in;	     /* whether it drops the packet */
	struct sender first; /* zeros: what a new sender begins with */
};

BPF_F_TABLE("percpu_array", u32, struct search, searches, 1, 0);

static __always_inline void read_mac(struct __sk_buff *ctx, u8 *mac)
{
#if LINK_LAYER == LINK_ETHERNET
	struct ethernet *head = (void *)(long)ctx->data;

	if ((void *)(head + 1) <= (void *)(long)ctx->data_end)
		__builtin_memcpy(mac, head->source, sizeof(head->source));
#endif
}

static __always_inline void count_sent(struct __sk_buff *ctx, struct search *search,
				       struct sender *sender)
{
	__sync_fetch_and_add(&sender->packets, 1);
	__sync_fetch_and_add(&sender->bytes, ctx->len);
	sender->last_ns = tick_ns();
	__builtin_memcpy(sender->destination, search->destination, sizeof(sender->destination));
	read_mac(ctx, sender->mac);
}

static __always_inline void count_sender(struct __sk_buff *ctx, struct search *search, u32 number)
{
	struct sender *sender;

	search->sender.slot = number;
	sender = senders.lookup(&search->sender);
	if (!sender) {
		senders.insert(&search->sender, &search->first);
		sender = senders.lookup(&search->sender);
	}
	if (sender)
		count_sent(ctx, search, sender);
}

static __always_inline void count_hit(struct __sk_buff *ctx, u32 number)
{
	struct hits *hit = hits.lookup(&number);

	if (hit)
		add(hit, ctx->len);
}

/* Counts the packet, or its sender, once for each set that it met, up to COUNTED. */
static __always_inline void count_met(struct __sk_buff *ctx, struct search *search, int of_sender)
{
	u32 number = *(volatile u32 *)&search->last;
	u64 left;

	search->uncounted = search->sets_met;
	for (int count = 0; count < COUNTED; count++) {
		left = *(volatile u64 *)&search->uncounted;
		if (!left)
			return;
		if (count)
			number = SLOT_SETS + lowest_bit(left);
		search->uncounted = left & ~(1ULL << ((number - SLOT_SETS) & 63));
		if (of_sender)
			count_sender(ctx, search, number);
		else
			count_hit(ctx, number);
	}
}

/* By arithmetic, so that the verifier explores one path. Sets do not expire. */
static __always_inline u32 eval_slot(struct search *search, u32 number)
{
	struct slot *slot = slots.lookup(&number);
	u64 word, out, accepts, verdict;

	if (!slot)
		return REASON_FAULT;
	word = *(volatile u64 *)&slot->word;
	out = is_zero((word & WORD_ACTION) ^ ACTION_OUT);
	accepts = is_zero((word & WORD_ACTION) ^ ACTION_ACCEPT);
	search->sets_met |= out << ((number - SLOT_SETS) & 63);
	search->last ^= (search->last ^ number) & -(u32)out;
	verdict = (out * REASON_DROPPED | accepts * REASON_ACCEPTED) * is_zero(word & WORD_MONITOR);
	return verdict && !has_expired(word) ? verdict : REASON_NONE;
}

static __always_inline u32 look_up(struct search *search, struct control *control, u64 opaque_zero)
{
	u32 address;

	if (search->sender.family == 6)
		return walk6(search, control, opaque_zero, search->destination);
	address = host32(search->destination[0]);
	asm volatile("" : "+r"(address)); /* Linux 6.1 knows no bound of swapped bytes */
	return walk4(search, control, near_of4(address), address);
}

/* Copies the addresses of a packet, by its fixed header; returns its family, 0 if it has none. */
static __always_inline u32 read_addresses(struct __sk_buff *ctx, __be32 *source,
					  __be32 *destination)
{
	void *end = (void *)(long)ctx->data_end, *ip;
	__be16 type = 0;

	ip = behind_link(ctx, &type);
	if (ip && type == network16(ETHERTYPE_IPV4)) {
		struct ipv4 *header = ip;

		if ((void *)(header + 1) > end)
			return 0;
		source[0] = header->source;
		destination[0] = header->destination;
		return 4;
	}
	if (ip && type == network16(ETHERTYPE_IPV6)) {
		struct ipv6 *header = ip;

		if ((void *)(header + 1) > end)
			return 0;
		__builtin_memcpy(source, header->source, sizeof(header->source));
		__builtin_memcpy(destination, header->destination, sizeof(header->destination));
		return 6;
	}
	return 0;
}

/* Whether anything is listed near the destination of a packet, whose addresses are copied. */
static __always_inline int may_be_listed(struct __sk_buff *ctx, struct search *search)
{
	u32 address;

	search->sender.family = read_addresses(ctx, search->sender.address, search->destination);
	if (search->sender.family == 6)
		return is_near6(host32(search->destination[0]));
	address = host32(search->destination[0]);
	return search->sender.family == 4 && is_near4(near_of4(address), address);
}

/*
 * Looks up and counts a packet; its `kept_in` says whether it must not go out. It needs the fixed
 * header alone, so fragments and extension headers hide nothing. Of a packet with a source route,
 * that has the next hop.
 */
static __always_inline void judge(struct __sk_buff *ctx, struct control *control,
				  struct search *search)
{
	u64 opaque_zero = first_buffer(ctx) >> 32;
	u32 reason;

	__builtin_memset(search, 0, sizeof(*search));
	if (!may_be_listed(ctx, search))
		return;
	asm volatile("" ::: "memory");
	reason = look_up(search, control, opaque_zero);
	asm volatile("" : "+r"(reason)::"memory");
	search->kept_in = reason == REASON_DROPPED;
	count_met(ctx, search, 0);
}
