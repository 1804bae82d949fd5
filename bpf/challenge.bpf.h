/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Challenges: a SYN is answered by an ACK of a number that was never sent. A real client answers
 * with a RST of that number (RFC 9293 section 3.10.7.3), is remembered, and tries again at once or
 * when its timer expires. Nothing is kept for a SYN, so forged sources cost no memory. The number
 * is a keyed hash (SipHash-1-3: Aumasson and Bernstein, 2012) of addresses, ports and time. The
 * same number is the answer to a query of a game, whose client repeats the query with it. A DNS
 * query is answered so that its resolver comes by TCP. What opens a QUIC connection gets no answer,
 * so that a browser comes by TCP.
 */

#define CHALLENGE_EPOCH_LOG2 36 /* ns: 69 s; the number of the epoch before is valid, too */
#define IPV4_HEADER	     20
#define GAME_MAGIC	     0xffffffff
#define GAME_INFO	     0x54
#define GAME_PLAYERS	     0x55
#define GAME_RULES	     0x56
#define GAME_INFO_BYTES	     25
#define GAME_NUMBER_NONE     0xffffffff
#define DNS_HEADER	     12
#define DNS_RESPONSE_OPCODE  0xf800 /* of the flags: all bits 0 in a query */
#define QUIC_TYPE	     0x30 /* of the first byte; the types of a handshake's later packets: */
#define QUIC_1_HANDSHAKE     0x20
#define QUIC_2_HANDSHAKE     0x30

BPF_F_TABLE("array", u32, struct challenge, challenges, 1, MMAPABLE);

enum answers {
	ANSWERS_NOT,
	ASKS_UNPROVED, /* a query of a game without the right number */
	ANSWERS,       /* a reset with the right number */
	ANSWERS_AND_ASKS,
};

struct sip {
	u64 v0, v1, v2, v3;
};

static __always_inline u64 rotated(u64 x, u32 bits)
{
	return x << bits | x >> (64 - bits);
}

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotated(s->v1, 13) ^ s->v0;
	s->v0 = rotated(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotated(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotated(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotated(s->v1, 17) ^ s->v2;
	s->v2 = rotated(s->v2, 32);
}

static __always_inline void sip_add(struct sip *s, u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

/* The number for a connection in an epoch. */
static __always_inline u32 challenge_number(struct challenge *challenge, struct packet *packet,
					    u32 ports, u64 epoch)
{
	struct sip s = {
	    .v0 = challenge->key[0] ^ 0x736f6d6570736575,
	    .v1 = challenge->key[1] ^ 0x646f72616e646f6d,
	    .v2 = challenge->key[0] ^ 0x6c7967656e657261,
	    .v3 = challenge->key[1] ^ 0x7465646279746573,
	};

	sip_add(&s, (u64)packet->source[0] << 32 | packet->destination[0]);
	if (packet->family == 6) {
		sip_add(&s, (u64)packet->source[1] << 32 | packet->destination[1]);
		sip_add(&s, (u64)packet->source[2] << 32 | packet->destination[2]);
		sip_add(&s, (u64)packet->source[3] << 32 | packet->destination[3]);
	}
	sip_add(&s, (u64)ports << 32 | (u32)epoch);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	s.v0 ^= s.v1 ^ s.v2 ^ s.v3;
	return s.v0 ^ s.v0 >> 32;
}

/* Whether a packet is a query to a name server over UDP (RFC 1035 section 4.1.1). */
static __always_inline int is_query(struct xdp_md *ctx, struct scratch *scratch)
{
	struct packet *packet = &scratch->packet;
	struct transport head; /* the identifier and the flags are where ports are */

	return packet->protocol == PROTOCOL_UDP && !packet->fragment &&
	       scratch->values[FIELD_DESTINATION_PORT] == PORT_DNS &&
	       (s32)(packet->end - packet->offset) >= UDP_HEADER + DNS_HEADER &&
	       load_transport(ctx, packet->offset + UDP_HEADER, &head, 4) == 0 &&
	       !(head.destination_port & network16(DNS_RESPONSE_OPCODE));
}

/*
 * Whether a packet opens a QUIC connection (an Initial, or 0-RTT), or has a version that nobody
 * knows, which a server has to answer (RFC 9000 section 17.2, RFC 9369 section 3.2).
 */
static __always_inline int is_quic_opening(struct xdp_md *ctx, struct scratch *scratch)
{
	struct packet *packet = &scratch->packet;
	u32 at = packet->offset + UDP_HEADER, type;
	struct {
		u8 first;
		__be32 version;
	} __attribute__((packed)) head;

	if (packet->protocol != PROTOCOL_UDP || packet->fragment ||
	    scratch->values[FIELD_DESTINATION_PORT] != PORT_HTTPS ||
	    (s32)(packet->end - at) < (s32)sizeof(head) ||
	    load_bytes(ctx, at, &head, sizeof(head)) < 0 || (head.first & QUIC_FORM) != QUIC_FORM)
		return 0;
	type = head.first & QUIC_TYPE;
	if (head.version == network32(QUIC_1))
		return type != QUIC_1_HANDSHAKE;
	return head.version != network32(QUIC_2) || type != QUIC_2_HANDSHAKE;
}

/*
 * Whether a packet is a query of Valve's A2S protocol that a server answers with a number first
 * (developer.valvesoftware.com, Server queries), and the number that it brings: at its end, or
 * GAME_NUMBER_NONE.
 */
static __always_inline int is_game_query(struct xdp_md *ctx, struct scratch *scratch, u32 *number)
{
	struct packet *packet = &scratch->packet;
	u32 at = packet->offset + UDP_HEADER, bytes = packet->end - at;
	struct {
		__be32 magic;
		u8 kind;
		u8 number[4];
	} __attribute__((packed)) head;
	__be32 brought = GAME_NUMBER_NONE;

	if (packet->protocol != PROTOCOL_UDP ||
	    proved_by_tcp(scratch->values[FIELD_DESTINATION_PORT]) != FOR_NOTHING ||
	    packet->fragment || (s32)bytes < (s32)sizeof(head) ||
	    load_bytes(ctx, at, &head, sizeof(head)) < 0 || head.magic != GAME_MAGIC)
		return 0;
	if (head.kind == GAME_PLAYERS || head.kind == GAME_RULES) {
		__builtin_memcpy(&brought, head.number, sizeof(brought));
	} else if (head.kind != GAME_INFO || bytes < GAME_INFO_BYTES) {
		return 0;
	} else if (bytes >= GAME_INFO_BYTES + sizeof(brought) &&
		   load_bytes(ctx, at + GAME_INFO_BYTES, &brought, sizeof(brought)) < 0) {
		return 0;
	}
	*number = host32(brought);
	return 1;
}

/*
 * The number that a packet brings, which may be the answer to a challenge: that of a reset, or of a
 * query of a game. Returns what follows if it is the right one.
 */
static __always_inline enum answers brings(struct xdp_md *ctx, struct search *search,
					   struct scratch *scratch, u32 *number, u32 *ports)
{
	u32 flags = scratch->values[FIELD_TCP_FLAGS];
	struct transport head = {};

	if (flags != NO_TCP_FLAGS) {
		if ((flags & (FLAG_RST | FLAG_SYN)) != FLAG_RST ||
		    load_transport(ctx, scratch->packet.offset, &head, sizeof(head)) < 0)
			return ANSWERS_NOT;
		*number = host32(head.sequence);
	} else if (!(search->control->challenging & 1 << ACTION_CHALLENGE_UDP) ||
		   !is_game_query(ctx, scratch, number) ||
		   load_transport(ctx, scratch->packet.offset, &head, 4) < 0) {
		return ANSWERS_NOT;
	}
	*ports = (u32)head.source_port << 16 | head.destination_port;
	return flags == NO_TCP_FLAGS ? ANSWERS_AND_ASKS : ANSWERS;
}

/* Whether a packet has the right answer to a challenge; then its source is remembered. */
static __always_inline enum answers is_answer(struct xdp_md *ctx, struct search *search,
					      struct scratch *scratch)
{
	u32 zero = 0, number = 0, ports = 0;
	struct challenge *challenge = challenges.lookup(&zero);
	enum answers answers = brings(ctx, search, scratch, &number, &ports);
	u64 epoch;

	if (!challenge || answers == ANSWERS_NOT)
		return ANSWERS_NOT;
	epoch = limits_ns() >> CHALLENGE_EPOCH_LOG2;
	if (challenge_number(challenge, &scratch->packet, ports, epoch) != number &&
	    challenge_number(challenge, &scratch->packet, ports, epoch - 1) != number)
		return answers == ANSWERS ? ANSWERS_NOT : ASKS_UNPROVED;
	if (!search->explanation)
		remember_source(search->control, scratch->packet.family, scratch->packet.source,
				answers == ANSWERS ? FOR_SYNS : FOR_QUERIES);
	return answers;
}

static __always_inline int is_opening(u32 flags)
{
	return flags != NO_TCP_FLAGS &&
	       (flags & (FLAG_SYN | FLAG_ACK | FLAG_RST | FLAG_FIN)) == FLAG_SYN;
}

/* The challenges that a packet meets, as bits; 0 for most packets. */
static __always_inline u32 challenges_for(struct xdp_md *ctx, struct search *search,
					  struct scratch *scratch, enum answers answers)
{
	u32 found = search->control->challenging;
	enum proof_for what = FOR_SYNS;

	if (is_opening(scratch->values[FIELD_TCP_FLAGS])) {
		found &= 1 << ACTION_CHALLENGE | 1 << ACTION_COOKIES;
	} else if (!(found & 1 << ACTION_CHALLENGE_UDP)) {
		return 0;
	} else {
		found = 1 << ACTION_CHALLENGE_UDP;
		what = FOR_QUERIES;
		if (is_quic_opening(ctx, scratch))
			what = FOR_QUIC;
		else if (answers != ASKS_UNPROVED && !is_query(ctx, scratch))
			return 0;
	}
	if (found & ~(1 << ACTION_COOKIES) && has_answered(search->control, &scratch->packet, what))
		found &= 1 << ACTION_COOKIES;
	if (found & 1 << ACTION_COOKIES && !has_listener(ctx, &scratch->packet, scratch->values))
		found &= ~(1 << ACTION_COOKIES);
	return found;
}
