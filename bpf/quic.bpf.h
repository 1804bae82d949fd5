/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whoever uses the connection ID that a QUIC server has chosen has seen the server's answer (RFC
 * 9000 sections 5.1 and 7.2), like whoever acknowledges a SYN-ACK. Only the headers of a handshake
 * say how long their IDs are (RFC 8999 section 5.1). The last four bytes of IDs are compared, so
 * flows to servers that choose shorter IDs have no proof.
 *
 * Some servers answer with the ID that the client has chosen, mostly in refusals. So the
 * client's ID is noted first, and only a different one proves something. A client keeps its own ID
 * until it is answered (RFC 9000 section 7.2); a client that shows two is not believed.
 */
#ifndef QUIC_PROOFS
#define QUIC_PROOFS 0
#endif

#define UDP_HEADER    8
#define QUIC_LONG     0x80 /* of the first byte */
#define QUIC_FORM     0xc0 /* the same, and the bit that is always set (RFC 9000 section 17.2) */
#define QUIC_1	      0x00000001
#define QUIC_2	      0x6b3343cf /* RFC 9369 */
#define QUIC_ID_MOST  20
#define QUIC_ID_LEAST 4
#define NO_QUIC_ID    (-1)
#define TWO_IDS	      0 /* the number of a proof: no ID has it */

#define QUIC_HERE_LOG2 (FLOWS_LOG2 && QUIC_PROOFS ? 16 : 0)
#define QUIC_NS	       30000000000ULL /* for which an ID is remembered: a handshake lasts less */

#define SERVER_ID SHAKE /* kinds of a cell's proof, whose number is the end of an ID */
#define CLIENT_ID SHAKEN

/* Which ID was chosen last in a flow that is not known. */
struct quic_cell {
	u64 proof;    /* as in flows.bpf.h */
	u64 since_ns; /* the client's first packet */
};

BPF_F_TABLE("array", u32, struct quic_cell, quic_cells, 1U << QUIC_HERE_LOG2, MMAPABLE);

struct quic {
	u8 first, version[4], length;
};

/* The length of a handshake's destination connection ID; NO_QUIC_ID in another packet. */
static __always_inline int quic_id_length(FRAME *ctx, u32 at)
{
	struct quic head;
	u32 version;

	if (load_bytes(ctx, at, &head, sizeof(head)) < 0 || (head.first & QUIC_FORM) != QUIC_FORM)
		return NO_QUIC_ID;
	version = (u32)head.version[0] << 24 | head.version[1] << 16 | head.version[2] << 8 |
		  head.version[3];
	if ((version != QUIC_1 && version != QUIC_2) || head.length > QUIC_ID_MOST)
		return NO_QUIC_ID;
	return head.length;
}

/* The end of an ID that begins there; 0 if it has none, or is too short. */
static __always_inline u32 quic_id(FRAME *ctx, u32 at, u32 length)
{
	__be32 id;

	if (length < QUIC_ID_LEAST || length > QUIC_ID_MOST ||
	    load_bytes(ctx, at + length - QUIC_ID_LEAST, &id, sizeof(id)) < 0)
		return 0;
	return host32(id);
}

/* The end of the ID to which a packet goes; 0 if it has none. */
static __always_inline u32 quic_id_of(FRAME *ctx, struct packet *packet)
{
	u32 at = packet->offset + UDP_HEADER;
	int length = quic_id_length(ctx, at);

	return length < 0 ? 0 : quic_id(ctx, at + sizeof(struct quic), length);
}

static __always_inline struct quic_cell *quic_cell_of(u64 hash)
{
	u32 place = hash & ((1U << QUIC_HERE_LOG2) - 1);

	return quic_cells.lookup(&place);
}

/* What a cell holds of this flow, as a proof; 0 if nothing, or if it is too old. */
static __always_inline u64 held_of_quic(struct quic_cell *cell, u64 hash)
{
	u64 held = *(volatile u64 *)&cell->proof;

	return is_proof_of(held, hash) && rules_ns() - *(volatile u64 *)&cell->since_ns < QUIC_NS
		   ? held
		   : 0;
}

/* Notes which ID the server has chosen in a packet that goes out, if it is not the client's. */
static __always_inline void note_server_id(FRAME *ctx, struct packet *packet, u64 hash)
{
	u32 at = packet->offset + UDP_HEADER, id, theirs;
	int length = quic_id_length(ctx, at);
	struct quic_cell *cell = quic_cell_of(hash);
	u8 own = 0;
	u64 held;

	if (!QUIC_PROOFS || length < 0 || !cell)
		return;
	held = held_of_quic(cell, hash);
	theirs = held;
	if ((held >> 32 & TAKEN_UP) != CLIENT_ID || theirs == TWO_IDS)
		return;
	at += sizeof(struct quic) + length;
	if (load_bytes(ctx, at, &own, sizeof(own)) < 0)
		return;
	id = quic_id(ctx, at + 1, own);
	if (id && id != theirs)
		*(volatile u64 *)&cell->proof = proof(hash, SERVER_ID, id);
}

/* Whether a packet that comes in uses the ID that the server has chosen. */
static __always_inline int uses_server_id(FRAME *ctx, struct packet *packet, u64 hash)
{
	struct quic_cell *cell = quic_cell_of(hash);
	u32 id = QUIC_PROOFS ? quic_id_of(ctx, packet) : 0;

	return id && cell && held_of_quic(cell, hash) == proof(hash, SERVER_ID, id);
}

/*
 * Notes which ID the client has chosen in a packet that comes in and proves nothing. QUIC is never
 * fragmented (RFC 9000 section 14), and of a fragment the ID may not be seen.
 */
static __always_inline void note_client_id(FRAME *ctx, struct packet *packet, u64 hash)
{
	struct quic_cell *cell = quic_cell_of(hash);
	u32 id = QUIC_PROOFS ? quic_id_of(ctx, packet) : 0, theirs;
	u64 held;

	if (packet->fragment)
		id = TWO_IDS;
	else if (!id)
		return;
	if (!QUIC_PROOFS || !cell)
		return;
	held = held_of_quic(cell, hash);
	theirs = held;
	if (!held) {
		*(volatile u64 *)&cell->since_ns = rules_ns();
		*(volatile u64 *)&cell->proof = proof(hash, CLIENT_ID, id);
	} else if ((held >> 32 & TAKEN_UP) == CLIENT_ID && theirs != id) {
		*(volatile u64 *)&cell->proof = proof(hash, CLIENT_ID, TWO_IDS);
	}
}
