/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a packet belongs to a TCP connection of this host. Accesses no map. */
#ifndef XDPCTL_ESTABLISHED_H
#define XDPCTL_ESTABLISHED_H

#include "fields.h"

/*
 * Helpers 99 and 86, Linux 5.2 and 4.20: the socket that a packet would reach, in the interface's
 * network namespace.
 */
static struct bpf_sock *(*find_socket)(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, u32 size,
				       u64 netns, u64 flags) = (void *)99;
static long (*release_socket)(struct bpf_sock *socket) = (void *)86;

/*
 * A listening socket is not a connection, and neither is an incomplete handshake that a peer
 * started. A socket in SYN_SENT counts, because this host waits for the answer. The states are
 * those of include/net/tcp_states.h.
 */
static __always_inline int is_connected(u32 state)
{
	return state == BPF_TCP_ESTABLISHED || state == BPF_TCP_SYN_SENT ||
	       state == BPF_TCP_FIN_WAIT1 || state == BPF_TCP_FIN_WAIT2 ||
	       state == BPF_TCP_TIME_WAIT || state == BPF_TCP_CLOSE_WAIT ||
	       state == BPF_TCP_LAST_ACK || state == BPF_TCP_CLOSING;
}

/* The socket that a packet with these ports would reach, to be released; NULL if there is none. */
static __always_inline struct bpf_sock *socket_of(struct xdp_md *ctx, struct packet *packet,
						  __be16 source_port, __be16 destination_port)
{
	struct bpf_sock_tuple tuple = {};
	u32 size = sizeof(tuple.ipv4);

	if (packet->family == 4) {
		tuple.ipv4.saddr = packet->source[0];
		tuple.ipv4.daddr = packet->destination[0];
		tuple.ipv4.sport = source_port;
		tuple.ipv4.dport = destination_port;
	} else {
		size = sizeof(tuple.ipv6);
		__builtin_memcpy(tuple.ipv6.saddr, packet->source, sizeof(packet->source));
		__builtin_memcpy(tuple.ipv6.daddr, packet->destination,
				 sizeof(packet->destination));
		tuple.ipv6.sport = source_port;
		tuple.ipv6.dport = destination_port;
	}
	return find_socket(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
}

/* Whether there is a connection between the packet's source and destination with these ports. */
static __always_inline int has_connection(struct xdp_md *ctx, struct packet *packet,
					  __be16 source_port, __be16 destination_port)
{
	struct bpf_sock *socket = socket_of(ctx, packet, source_port, destination_port);
	u32 connected;

	if (!socket)
		return 0;
	connected = is_connected(socket->state);
	release_socket(socket);
	return connected;
}

/* Whether a packet with these ports, as values of fields, would reach a listener of this host. */
static __always_inline int has_listener(struct xdp_md *ctx, struct packet *packet, u32 *values)
{
	struct bpf_sock *socket = socket_of(ctx, packet, network16(values[FIELD_SOURCE_PORT]),
					    network16(values[FIELD_DESTINATION_PORT]));
	u32 listens;

	if (!socket)
		return 0;
	listens = socket->state == BPF_TCP_LISTEN;
	release_socket(socket);
	return listens;
}

/* A SYN opens a connection, so it belongs to none; thus a SYN flood costs no look-ups. */
static __always_inline int established(struct xdp_md *ctx, struct packet *packet)
{
	struct transport head;

	if (packet->protocol != PROTOCOL_TCP ||
	    load_bytes(ctx, packet->offset, &head, sizeof(head)) < 0 ||
	    (host16(head.offset_flags) & (FLAG_SYN | FLAG_ACK)) == FLAG_SYN)
		return 0;
	return has_connection(ctx, packet, head.source_port, head.destination_port);
}

#endif
