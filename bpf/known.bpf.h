/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a packet that comes in belongs to a known flow; never without an outside interface. */

#define ICMP_ECHO_REPLY	    0
#define ICMPV6_ECHO_REPLY   129
#define ICMP_CITES_AT	    8	/* from the ICMP header on: the packet that an error is about */
#define FLOW_OF_FRAGMENTS   256 /* a flag beside the protocol: `ports` is an identification */
#define IPV4_IDENTIFICATION 4
#define FRAGMENT_HEADER	    8

BPF_F_TABLE("array", u32, struct port, port, 1, MMAPABLE);
BPF_F_TABLE("array", u32, struct block, fragments, 1U << FRAGMENTS_LOG2, MMAPABLE);

VALUES(struct port, port)

static __always_inline u32 asking(void)
{
	return port_values()->asks;
}

static __always_inline int asks_flows(void)
{
	return asking() == ASKS;
}

/* The identification of a fragment; 0 if its fragment header is not the last one. */
static __always_inline u32 identification(struct xdp_md *ctx, struct packet *packet)
{
	struct {
		u8 next_header, reserved;
		__be16 offset_flags;
		__be32 identification;
	} header;
	__be16 identity;

	if (packet->family == 4)
		return load_bytes(ctx, packet->ip + IPV4_IDENTIFICATION, &identity,
				  sizeof(identity)) < 0
			   ? 0
			   : identity;
	if (load_bytes(ctx, packet->offset - FRAGMENT_HEADER, &header, sizeof(header)) < 0 ||
	    header.next_header != (packet->protocol & 255))
		return 0;
	return header.identification;
}

static __always_inline u64 fragments_hash(struct xdp_md *ctx, const u64 *seeds,
					  struct packet *packet)
{
	return flow_hash(seeds, packet->family, packet->destination, packet->source,
			 identification(ctx, packet), (packet->protocol & 255) | FLOW_OF_FRAGMENTS);
}

/* Whether an error goes to the host that sent what it cites. */
static __always_inline int is_for(struct packet *error, struct packet *cited)
{
	u32 other = error->destination[0] ^ cited->destination[0];

	if (error->family == 6)
		other |= (error->destination[1] ^ cited->destination[1]) |
			 (error->destination[2] ^ cited->destination[2]) |
			 (error->destination[3] ^ cited->destination[3]);
	return !other;
}

/*
 * Reads the packet that an ICMP error cites. That packet went out, so its ends are swapped, as if
 * it had come in. 0 if it has no ports; for an echo both ports are its identifier.
 */
static __always_inline int read_cited(struct xdp_md *ctx, struct packet *error,
				      struct packet *cited, struct ports *ports)
{
	u32 at = error->offset + ICMP_CITES_AT;
	struct ports inside;

	cited->family = error->family;
	if (error->family == 4) {
		struct ipv4 ip;

		if (load_bytes(ctx, at, &ip, sizeof(ip)) < 0 || ip.version_ihl >> 4 != 4 ||
		    ip.fragment & network16(IPV4_OFFSET))
			return 0;
		cited->protocol = ip.protocol;
		cited->source[0] = ip.destination;
		cited->destination[0] = ip.source;
		at += (ip.version_ihl & 0x0f) * 4;
	} else {
		struct ipv6 ip;

		if (load_bytes(ctx, at, &ip, sizeof(ip)) < 0)
			return 0;
		cited->protocol = ip.next_header;
		__builtin_memcpy(cited->source, ip.destination, sizeof(cited->source));
		__builtin_memcpy(cited->destination, ip.source, sizeof(cited->destination));
		at += sizeof(ip);
	}
	if (!is_for(error, cited))
		return 0;
	if (cited->protocol == PROTOCOL_ICMP || cited->protocol == PROTOCOL_ICMPV6)
		at += 4; /* identifier and sequence number */
	else if (cited->protocol != PROTOCOL_TCP && cited->protocol != PROTOCOL_UDP)
		return 0;
	if (load_bytes(ctx, at, &inside, sizeof(inside)) < 0)
		return 0;
	ports->source = inside.destination;
	ports->destination = inside.source;
	if (cited->protocol == PROTOCOL_ICMP || cited->protocol == PROTOCOL_ICMPV6)
		ports->source = 0;
	return 1;
}

/* The hash of the flow of a packet that came in. */
static __always_inline u64 hash_of_flow(const u64 *seeds, struct packet *packet,
					struct ports *ports)
{
	return flow_hash(seeds, packet->family, packet->destination, packet->source,
			 (u32)ports->destination << 16 | ports->source, packet->protocol);
}

/* Whether the packet that an ICMP error cites belongs to a known flow. */
static __always_inline int cites_known(struct xdp_md *ctx, struct control *control,
				       struct packet *error)
{
	struct packet cited = {};
	struct ports ports = {};

	return read_cited(ctx, error, &cited, &ports) &&
	       knows_flow(hash_of_flow(control->seeds, &cited, &ports));
}

/*
 * The first fragment of a known flow makes the later ones known. These have no ports, so they are
 * recognised by their identification (RFC 791, RFC 8200), for as long as hosts reassemble them, and
 * only if they come after the first one. They have a memory of their own, since outsiders choose
 * identifications.
 */
static __always_inline void expect_fragments(struct xdp_md *ctx, struct control *control,
					     struct packet *packet)
{
	u64 hash = fragments_hash(ctx, control->seeds, packet);
	u32 place = block_of(FRAGMENTS_LOG2, hash);
	struct memory *memory = memories_values() + MEMORY_FRAGMENTS;
	struct block *block = fragments.lookup(&place);

	if (!block || has(block, generation_of(state_of(memory)), hash) & 1)
		return;
	if (is_overfull(memory))
		refuse_element(memory, rules_ns(), packet->family, packet->source);
	else
		add_element(memory, block, hash, rules_ns());
}

static __always_inline int expects_fragment(struct xdp_md *ctx, struct control *control,
					    struct packet *packet)
{
	u64 hash = fragments_hash(ctx, control->seeds, packet);
	u32 place = block_of(FRAGMENTS_LOG2, hash);
	struct memory *memory = memories_values() + MEMORY_FRAGMENTS;
	struct block *block = fragments.lookup(&place);

	return remembers(memory, block, hash);
}

/* A proof that comes in is remembered within the budget of the inside host, except by explain. */
static __always_inline enum flow_state ask_tcp(const u64 *seeds, struct packet *packet, u64 hash,
					       struct transport *head, int learns)
{
	if (knows_flow(hash))
		return FLOW_KNOWN;
	if (!shakes(hash, head))
		return FLOW_UNKNOWN;
	if (learns && learn_flow(seeds, packet->family, packet->destination, hash, 1))
		await(hash, ANSWER_DATA);
	return FLOW_SHAKEN;
}

/* The same for UDP, if it is QUIC. */
static __always_inline enum flow_state ask_udp(struct xdp_md *ctx, const u64 *seeds,
					       struct packet *packet, struct ports *ports,
					       int learns)
{
	u64 hash = hash_of_flow(seeds, packet, ports);

	if (knows_flow(hash))
		return FLOW_KNOWN;
	if (ports->destination != network16(PORT_HTTPS) || !uses_server_id(ctx, packet, hash))
		return FLOW_UNKNOWN;
	if (learns)
		learn_flow(seeds, packet->family, packet->destination, hash, 1);
	return FLOW_KNOWN;
}

static __always_inline enum flow_state known_if(int known)
{
	return known ? FLOW_KNOWN : FLOW_UNKNOWN;
}

/*
 * What the flow memory says of a packet. A SYN opens a flow, so it belongs to none. The caller has
 * checked that this interface asks.
 */
static __always_inline enum flow_state flow_of(struct xdp_md *ctx, struct control *control,
					       struct packet *packet, int learns)
{
	u32 protocol = packet->protocol, known,
	    icmp = packet->family == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
	struct transport head = {};
	struct ports ports = {};

	if (is_portless(packet)) { /* so are its later fragments */
		packet->protocol = protocol & 255;
		known = knows_flow(hash_of_flow(control->seeds, packet, &ports));
		packet->protocol = protocol;
		return known_if(known);
	}
	if (protocol & PROTOCOL_NOT_IN_FRAME)
		return known_if(expects_fragment(ctx, control, packet));
	if (protocol == PROTOCOL_TCP) {
		if (load_transport(ctx, packet->offset, &head, sizeof(head)) < 0 ||
		    (host16(head.offset_flags) & (FLAG_SYN | FLAG_ACK)) == FLAG_SYN)
			return FLOW_UNKNOWN;
	} else if (protocol == PROTOCOL_UDP || protocol == icmp) {
		if (load_transport(ctx, packet->offset, &head, 8) < 0)
			return FLOW_UNKNOWN;
	} else {
		return FLOW_UNKNOWN;
	}
	ports.source = head.source_port;
	ports.destination = head.destination_port;
	if (protocol == PROTOCOL_TCP)
		return ask_tcp(control->seeds, packet, hash_of_flow(control->seeds, packet, &ports),
			       &head, learns);
	if (protocol == PROTOCOL_UDP)
		return ask_udp(ctx, control->seeds, packet, &ports, learns);
	if (is_error(ctx, packet))
		return known_if(cites_known(ctx, control, packet));
	if (host16(head.source_port) >> 8 !=
	    (packet->family == 4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY))
		return FLOW_UNKNOWN;
	ports.source = 0;
	ports.destination = network16(host32(head.sequence) >> 16);
	return known_if(knows_flow(hash_of_flow(control->seeds, packet, &ports)));
}

static __always_inline int is_known(struct xdp_md *ctx, struct control *control,
				    struct packet *packet, int learns)
{
	return flow_of(ctx, control, packet, learns) >= FLOW_KNOWN;
}

/*
 * Whether a packet may belong to a QUIC handshake; behind unusual headers the answer is yes. Called
 * when the packet is decided. It reads the packet again, so that the verifier need not track how it
 * was parsed.
 */
static __always_inline int may_be_quic(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end, *at;
	struct {
		struct ports ports;
		__be16 length, checksum;
		u8 first;
	} *udp;
	__be16 type = 0;

	at = behind_link(ctx, &type);
	if (!at)
		return 0;
	if (type == network16(ETHERTYPE_IPV4)) {
		struct ipv4 *ip = at;

		udp = (void *)(ip + 1);
		if ((void *)(ip + 1) > end || ip->protocol != PROTOCOL_UDP)
			return 0;
		if (ip->version_ihl != 0x45 || ip->fragment & network16(IPV4_MORE_FRAGMENTS))
			return 1;
		if ((void *)(udp + 1) > end)
			return 0;
	} else if (type == network16(ETHERTYPE_IPV6)) {
		struct ipv6 *ip = at;

		udp = (void *)(ip + 1);
		if ((void *)(ip + 1) > end)
			return 0;
		if (is_extension(ip->next_header))
			return 1;
		if ((void *)(udp + 1) > end || ip->next_header != PROTOCOL_UDP)
			return 0;
	} else {
		return 0;
	}
	return udp->ports.destination == network16(PORT_HTTPS) &&
	       (udp->first & QUIC_FORM) == QUIC_FORM;
}
