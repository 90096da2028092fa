/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* From a backend's address back to the service's: what a socket remembers of its peers, for as long as it lives.
 *
 * A connected socket has one translation; an unconnected one has up to DATAGRAM_PEERS, and at most one of each backend: the
 * frontend that was last used for it. A socket that speaks to a backend by its own address is told the truth about it.
 */
#pragma once

#include "address.h"
#include "maps.h"
#include "report.h"

static __always_inline int is_backend(const struct translation *it, const struct address *address, __be16 port)
{
	return it->backend_port == port && address_equal(&it->backend_address, address);
}

/* The translation of a socket that is connected now. One that was dissolved by AF_UNSPEC keeps its row, unseen by any
 * hook; its state tells.
 */
static __always_inline struct translation *connected_peer(struct bpf_sock *socket)
{
	if (socket->state != BPF_TCP_ESTABLISHED)
		return 0;
	return bpf_sk_storage_get(&socket_peer, socket, 0, 0);
}

static __always_inline void remember_peer(struct bpf_sock *socket, struct translation *made)
{
	struct translation *row = bpf_sk_storage_get(&socket_peer, socket, made, BPF_SK_STORAGE_GET_F_CREATE);
	if (row)
		*row = *made;
	else
		count(COUNTER_CONNTRACK_FAILED);
}

static __always_inline void forget_peer(struct bpf_sock *socket)
{
	/* Looking is cheaper than deleting what is not there. */
	if (bpf_sk_storage_get(&socket_peer, socket, 0, 0))
		bpf_sk_storage_delete(&socket_peer, socket);
}

/* The socket speaks to this backend by its own address: its answers come from there. */
static __always_inline void forget_datagrams(struct bpf_sock *socket, const struct address *address, __be16 port)
{
	struct datagram_peers *peers = bpf_sk_storage_get(&socket_datagrams, socket, 0, 0);
	if (!peers)
		return;
	for (int at = 0; at < DATAGRAM_PEERS; at++)
		if (is_backend(&peers->peer[at], address, port))
			peers->peer[at] = (struct translation){};
}

/* In the place of the same backend, else in the oldest. */
static __always_inline void remember_datagrams(struct bpf_sock *socket, const struct translation *made)
{
	struct datagram_peers *peers = bpf_sk_storage_get(&socket_datagrams, socket, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!peers) {
		count(COUNTER_CONNTRACK_FAILED);
		return;
	}
	for (int at = 0; at < DATAGRAM_PEERS; at++) {
		if (is_backend(&peers->peer[at], &made->backend_address, made->backend_port)) {
			peers->peer[at] = *made;
			return;
		}
	}
	peers->peer[peers->next % DATAGRAM_PEERS] = *made;
	peers->next += 1;
}

/* What the socket called the peer at this address. 0: just that. */
static __always_inline const struct translation *reverse_of(struct bpf_sock *socket, const struct address *address, __be16 port)
{
	const struct translation *peer = connected_peer(socket);
	if (peer && is_backend(peer, address, port))
		return peer;
	const struct datagram_peers *peers = bpf_sk_storage_get(&socket_datagrams, socket, 0, 0);
	if (!peers)
		return 0;
	for (int at = 0; at < DATAGRAM_PEERS; at++)
		if (is_backend(&peers->peer[at], address, port))
			return &peers->peer[at];
	return 0;
}
