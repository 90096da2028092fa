/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* From a service's address to a backend's, for one socket. The way back is in reverse.h.
 *
 * Both families are one code path: the hooks in sock.bpf.c differ only in how they read and write the address.
 */
#pragma once

#include <asm/errno.h>
#include <linux/in.h>

#include "lb.h"
#include "report.h"
#include "reverse.h"

/* Return values of the hooks. */
#define REFUSE 0
#define ALLOW 1

/* Whether these programs may call bpf_set_retval: said by the loader, before the row is frozen. Where they may not, the
 * verifier sees a constant 0 and never reads the call.
 */
const volatile __u8 HAS_SET_RETVAL = 0;

/* Fails the system call with `error` (negative), or with EPERM on kernels that know no other. */
static __always_inline int refuse(int error)
{
	if (HAS_SET_RETVAL)
		bpf_set_retval(error);
	return REFUSE;
}

/* One end of a flow. */
struct end {
	struct address address;
	__be16 port;
};

/* What is to become of a connect() or of a datagram. Negative: an errno. */
enum {
	LEAVE = 0,
	TRANSLATE = 1,
};

static __always_inline int refuse_with(enum spillway_drop_reason reason, int error, __u8 protocol, const struct end *to)
{
	struct tuple tuple = { .destination = to->address, .destination_port = to->port, .protocol = protocol };
	report_drop(reason, PROGRAM_SOCKET, &tuple, 0);
	return error;
}

/* The cookie of the node's own network namespace. The agent can read it since 5.14 (SO_NETNS_COOKIE); before, it is the
 * initial namespace's, which is what the helper says of no socket.
 */
static __always_inline __u64 host_cookie(const struct settings *node)
{
	return node->host_netns ? node->host_netns : bpf_get_netns_cookie(0);
}

/* Whom the socket's namespace is. One that the agent does not know (yet) gets an address that is nobody's and always the
 * same: its cookie in the discard prefix 100::/64 (RFC 6666). Returns whether it is known.
 */
static __always_inline int client_of(struct bpf_sock_addr *ctx, int is_v4, struct address *client)
{
	__u64 cookie = bpf_get_netns_cookie(ctx);
	const struct client *known = bpf_map_lookup_elem(&clients, &cookie);
	if (known) {
		*client = is_v4 ? known->ipv4 : known->ipv6;
		/* The first of a global IPv6 address is never 0. */
		if (is_v4 ? client->word[3] : client->word[0])
			return 1;
	}
	*client = (struct address){ { bpf_htonl(0x01000000), 0, (__u32)(cookie >> 32), (__u32)cookie } };
	return 0;
}

/* kube-proxy: source ranges filter what goes to an address of a load balancer, pods and nodes included, and never what goes
 * to a ClusterIP or a NodePort. What it filters it drops in silence, so the error is that of a silent peer. A client of
 * unknown address is left to the programs on devices, which see the address of its packets.
 */
static __always_inline int is_guarded(const struct frontend *frontend)
{
	return (frontend->flags & FRONTEND_GUARDED) && frontend->kind == KIND_LOAD_BALANCER;
}

/* The frontend that a socket means by this address. 0: none, or none for this socket. */
static __always_inline struct frontend *frontend_meant(struct bpf_sock_addr *ctx, const struct settings *node,
						       const struct end *to, __u8 protocol)
{
	struct frontend *frontend = frontend_find(&to->address, to->port, protocol, SCOPE_INTERNAL);
	if (frontend && (frontend->flags & FRONTEND_HOST_ONLY) && bpf_get_netns_cookie(ctx) != host_cookie(node))
		return 0;
	return frontend;
}

/* Draws a backend and writes down the translation. */
static __always_inline int draw(const struct frontend *frontend, const struct address *client, const struct end *to,
				struct translation *made)
{
	/* A socket has no tuple yet when it connects, so a Maglev table is drawn from by its weights. */
	__u64 hash = (frontend->flags & FRONTEND_MAGLEV) ? bpf_get_prandom_u32() : 0;
	__u32 index = 0;
	const struct backend *backend = backend_pick(frontend, client, hash, &index);
	if (!backend || address_is_v4(&backend->address) != address_is_v4(&to->address))
		return 0;
	*made = (struct translation){
		.frontend = to->address,
		.backend_address = backend->address,
		.frontend_port = to->port,
		.backend_port = backend->port,
		.backend = index,
		.service = frontend->service,
	};
	return 1;
}

/* What a socket remembers, if it still holds. Where the row of the backend was given to another one, the address tells. */
static __always_inline int may_keep(const struct frontend *frontend, const struct translation *had, const struct end *to)
{
	if (had->service != frontend->service || had->frontend_port != to->port || !address_equal(&had->frontend, &to->address))
		return 0;
	const struct backend *backend = backend_of(had->backend, had->service);
	return backend && backend_may_stay(frontend, backend) && backend->port == had->backend_port &&
	       address_equal(&backend->address, &had->backend_address);
}

/* What the socket goes on with, if it has a backend for this frontend: datagrams of a connected socket that are sent to
 * the service's address again go where it is connected to, for it would hear no other.
 */
static __always_inline const struct translation *kept(struct bpf_sock *socket, const struct frontend *frontend,
						      const struct end *to, int *has_gone)
{
	const struct translation *peer = connected_peer(socket);
	if (peer && may_keep(frontend, peer, to))
		return peer;
	struct datagram_peers *peers = bpf_sk_storage_get(&socket_datagrams, socket, 0, 0);
	if (!peers)
		return 0;
	for (int at = 0; at < DATAGRAM_PEERS; at++) {
		struct translation *had = &peers->peer[at];
		if (may_keep(frontend, had, to))
			return had;
		if (had->service && had->frontend_port == to->port && address_equal(&had->frontend, &to->address)) {
			/* Answers on their way are still turned back; nothing is sent there any more. */
			had->service = 0;
			*has_gone = 1;
		}
	}
	return 0;
}

/* Finds the frontend; then what is to become of the call, without looking for a backend yet. */
static __always_inline int admit(struct bpf_sock_addr *ctx, const struct end *to, __u8 protocol, struct frontend **found,
				 struct address *client)
{
	const struct settings *node = node_settings();
	if (!node)
		return LEAVE;
	struct frontend *frontend = frontend_meant(ctx, node, to, protocol);
	*found = frontend;
	if (!frontend) {
		if (!is_unowned_service_address(node, &to->address))
			return LEAVE;
		return refuse_with(SPILLWAY_DROP_UNLISTED_PORT, -ECONNREFUSED, protocol, to);
	}
	if (!frontend->affinity_s && !is_guarded(frontend))
		return TRANSLATE;
	int is_known = client_of(ctx, address_is_v4(&to->address), client);
	if (!is_guarded(frontend))
		return TRANSLATE;
	if (!is_known)
		return LEAVE;
	if (!source_is_allowed(frontend->service, client))
		return refuse_with(SPILLWAY_DROP_SOURCE_RANGE, -EHOSTUNREACH, protocol, to);
	return TRANSLATE;
}

/* The whole way of a new choice. */
static __always_inline int choose(struct bpf_sock_addr *ctx, const struct end *to, __u8 protocol, struct frontend *frontend,
				  const struct address *client, struct translation *made)
{
	if (draw(frontend, client, to, made))
		return TRANSLATE;
	if (frontend->count) {
		/* The row changed while we read it, for its memory may serve another key at once (6.1). Once more. */
		frontend = frontend_find(&to->address, to->port, protocol, SCOPE_INTERNAL);
		if (frontend && draw(frontend, client, to, made))
			return TRANSLATE;
	}
	int is_elsewhere = frontend && (frontend->flags & FRONTEND_ELSEWHERE);
	return refuse_with(SPILLWAY_DROP_NO_BACKEND, is_elsewhere ? -EHOSTUNREACH : -ECONNREFUSED, protocol, to);
}

/* connect(): TRANSLATE, LEAVE or an error. */
static __always_inline int serve_connect(struct bpf_sock_addr *ctx, struct end *to)
{
	__u8 protocol = ctx->protocol;
	struct frontend *frontend = 0;
	struct translation made;
	struct address client = {};

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return LEAVE;
	int verdict = admit(ctx, to, protocol, &frontend, &client);
	if (verdict == TRANSLATE)
		verdict = choose(ctx, to, protocol, frontend, &client, &made);
	if (verdict < 0) {
		count(COUNTER_CONNECT_REFUSED);
		return verdict;
	}
	if (verdict == LEAVE) {
		forget_peer(ctx->sk);
		if (protocol == IPPROTO_UDP)
			forget_datagrams(ctx->sk, &to->address, to->port);
		return LEAVE;
	}
	remember_peer(ctx->sk, &made);
	count(COUNTER_CONNECT);
	*to = (struct end){ made.backend_address, made.backend_port };
	return TRANSLATE;
}

/* One datagram with an address of its own: TRANSLATE, LEAVE or an error. */
static __always_inline int serve_send(struct bpf_sock_addr *ctx, struct end *to)
{
	struct frontend *frontend = 0;
	struct translation made;
	struct address client = {};
	int has_gone = 0;

	if (ctx->protocol != IPPROTO_UDP)
		return LEAVE;
	int verdict = admit(ctx, to, IPPROTO_UDP, &frontend, &client);
	if (verdict == TRANSLATE) {
		const struct translation *had = kept(ctx->sk, frontend, to, &has_gone);
		if (had) {
			count(COUNTER_SEND);
			*to = (struct end){ had->backend_address, had->backend_port };
			return TRANSLATE;
		}
		verdict = choose(ctx, to, IPPROTO_UDP, frontend, &client, &made);
	}
	if (verdict < 0) {
		count(COUNTER_SEND_REFUSED);
		return verdict;
	}
	if (verdict == LEAVE) {
		forget_datagrams(ctx->sk, &to->address, to->port);
		return LEAVE;
	}
	remember_datagrams(ctx->sk, &made);
	count(COUNTER_SEND);
	if (has_gone)
		count(COUNTER_SEND_RESELECTED);
	*to = (struct end){ made.backend_address, made.backend_port };
	return TRANSLATE;
}
