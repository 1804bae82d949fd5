/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor statistics of a slot, about the packets that a rule in monitor mode would have hit: how
 * many belong to established connections, the number of sources and destinations, and a sample.
 */

/* HyperLogLog (Flajolet et al., 2007): each cell has the largest rank of its hashes. */
static __always_inline void sketch(u8 *cells, u64 hash)
{
	u8 *cell = &cells[hash >> (64 - SKETCH_LOG2)];
	u8 rank = lowest_bit(hash | 1ULL << (63 - SKETCH_LOG2)) + 1;

	if (*cell < rank)
		*cell = rank;
}

static __always_inline u64 hash_address(struct control *control, u32 family, __be32 *words)
{
	struct address6 address = {.low = host32(words[0])};

	if (family == 6) {
		address.high = (u64)host32(words[0]) << 32 | host32(words[1]);
		address.low = (u64)host32(words[2]) << 32 | host32(words[3]);
	}
	return hash6(control->seeds, &address, 128) * control->seeds[2];
}

/* Keep a random sample: each packet has the same probability (Vitter's algorithm R, 1985). */
static __always_inline void keep_glimpse(struct monitor_statistics *statistics,
					 struct packet *packet, u32 *values)
{
	u64 looked = statistics->looked;
	u32 place = looked;
	struct glimpse *kept;

	if (looked >= GLIMPSES)
		place = bpf_get_prandom_u32() * (looked + 1) >> 32;
	if (looked >> 32 || place >= GLIMPSES)
		return;
	/* otherwise clang masks a copy, and the verifier of 6.1 does not know the range of place */
	asm volatile("" : "+r"(place));
	kept = &statistics->glimpses[place & (GLIMPSES - 1)];
	kept->family = packet->family;
	kept->protocol = packet->protocol;
	kept->source_port = values[FIELD_SOURCE_PORT];
	kept->destination_port = values[FIELD_DESTINATION_PORT];
	kept->length = values[FIELD_PACKET_LENGTH];
	kept->tcp_flags = values[FIELD_TCP_FLAGS];
	kept->icmp = values[FIELD_ICMP_TYPE] << 8 | (values[FIELD_ICMP_CODE] & 255);
	kept->ttl = values[FIELD_TTL];
	kept->fragment = values[FIELD_FRAGMENT];
	__builtin_memcpy(kept->source, packet->source, sizeof(kept->source));
	__builtin_memcpy(kept->destination, packet->destination, sizeof(kept->destination));
}

static __always_inline void remember(struct packet *packet, u32 *values, u32 slot)
{
	struct connection key = {.slot = slot, .family = packet->family};
	u64 one = 1, *packets;

	key.source_port = values[FIELD_SOURCE_PORT];
	key.destination_port = values[FIELD_DESTINATION_PORT];
	key.source[0] = packet->source[0];
	key.destination[0] = packet->destination[0];
	if (packet->family == 6) {
		__builtin_memcpy(key.source, packet->source, sizeof(key.source));
		__builtin_memcpy(key.destination, packet->destination, sizeof(key.destination));
	}
	packets = connections.lookup(&key);
	if (packets)
		__sync_fetch_and_add(packets, 1);
	else
		connections.update(&key, &one);
}

/* Add a packet to a slot's statistics, if the control plane has enabled them for the slot. */
static __always_inline void record_statistics(struct search *search, struct scratch *scratch,
					      u32 slot, u32 reason, u32 connected, u32 known)
{
	struct monitor_statistics *kept = statistics.lookup(&slot);
	struct packet *packet = &scratch->packet;

	if (!kept)
		return;
	sketch(kept->sources, hash_address(search->control, packet->family, packet->source));
	sketch(kept->destinations,
	       hash_address(search->control, packet->family, packet->destination));
	keep_glimpse(kept, packet, scratch->values);
	if (connected) {
		__sync_fetch_and_add(&kept->established, 1);
		remember(packet, scratch->values, slot);
	}
	if (known)
		__sync_fetch_and_add(&kept->known, 1);
	if (reason == REASON_ACCEPTED || reason == REASON_PROTECTED)
		__sync_fetch_and_add(&kept->accepted, 1);
	__sync_fetch_and_add(&kept->looked, 1);
}
