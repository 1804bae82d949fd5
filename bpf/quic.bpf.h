/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who uses the connection ID that a QUIC server has chosen has seen the server's answer (RFC 9000
 * sections 5.1 and 7.2), as who acknowledges a SYN-ACK. Only the headers of a handshake tell how
 * long their IDs are (RFC 8999 section 5.1); their last four bytes are compared. Servers that
 * choose shorter ones have no proof.
 */

#define UDP_HEADER    8
#define QUIC_LONG     0x80 /* of the first byte */
#define QUIC_FIXED    6	   /* bytes until the first ID: its length is the last of these */
#define QUIC_ID_MOST  20
#define QUIC_ID_LEAST 4
#define NO_QUIC_ID    (-1)

/*
 * The length of a handshake's destination connection ID; NO_QUIC_ID in another packet. A server
 * copies both IDs of whoever asks for a version that it lacks, so version 0 proves nothing.
 */
static __always_inline int quic_id_length(FRAME *ctx, u32 at)
{
	u8 head[QUIC_FIXED];

	if (load_bytes(ctx, at, head, sizeof(head)) < 0 || !(head[0] & QUIC_LONG) ||
	    !(head[1] | head[2] | head[3] | head[4]) || head[5] > QUIC_ID_MOST)
		return NO_QUIC_ID;
	return head[5];
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

/* Remembers which ID the server has chosen; whether this packet is one of a handshake. */
static __always_inline int chooses_quic_id(FRAME *ctx, struct packet *packet, u64 hash)
{
	u32 at = packet->offset + UDP_HEADER, id;
	int length = quic_id_length(ctx, at);
	u64 *cell = proof_of(hash);
	u8 own = 0;

	if (length < 0)
		return 0;
	at += QUIC_FIXED + length;
	if (cell && load_bytes(ctx, at, &own, sizeof(own)) == 0) {
		id = quic_id(ctx, at + 1, own);
		if (id)
			*(volatile u64 *)cell = proof(hash, SHAKE, id);
	}
	return 1;
}

/* Whether a packet that comes in is for the ID that the server has chosen. */
static __always_inline int uses_quic_id(FRAME *ctx, struct packet *packet, u64 hash)
{
	u32 at = packet->offset + UDP_HEADER, id;
	int length = quic_id_length(ctx, at);
	u64 *cell = proof_of(hash);

	if (length < 0 || !cell)
		return 0;
	id = quic_id(ctx, at + QUIC_FIXED, length);
	return id && *(volatile u64 *)cell == proof(hash, SHAKE, id);
}
