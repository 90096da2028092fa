// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Services for sockets: a connect() to a service address becomes one to a backend's, once, with nothing to do per packet.
 *
 * Attached to the root cgroup, and so inherited by every pod.
 *
 * | hook                | does                                                          |
 * |---------------------|---------------------------------------------------------------|
 * | connect4/6          | service -> backend, for TCP and UDP; the socket remembers it  |
 * | sendmsg4/6          | the same for datagrams with an address of their own           |
 * | recvmsg4/6          | backend -> service in the source of a datagram                |
 * | getpeername4/6      | backend -> service in the name of the peer                    |
 * | post_bind4/6        | no other socket of the host on a NodePort                     |
 *
 * Where IPv4 comes as IPv6: connect6, recvmsg6 and getpeername6 see ::ffff:a.b.c.d, which is how rows hold IPv4 anyway;
 * a datagram sent there is seen by sendmsg4 (udpv6_sendmsg hands it over first).
 *
 * | needs                                              | kernel | else                                           |
 * |----------------------------------------------------|--------|------------------------------------------------|
 * | sk_storage in sock_addr programs, bpf_sock_addr.sk  | 5.3    | floor                                          |
 * | loops, frozen maps as constants                    | 5.3    | floor                                          |
 * | bpf_get_netns_cookie in sock_addr and sock         | 5.7    | floor                                          |
 * | bpf_link of cgroups                                | 5.7    | floor                                          |
 * | getpeername4/6, ring buffer                        | 5.8    | floor; ours is 5.10                            |
 * | SO_NETNS_COOKIE (the agent)                        | 5.14   | `clients` is empty, host_netns is 0: see       |
 * |                                                    |        | host_cookie() and client_of() in socket.h      |
 * | bpf_set_retval in connect, sendmsg, post_bind      | 6.1    | HAS_SET_RETVAL stays 0, callers see EPERM.     |
 * |                                                    |        | (5.18 has it for other cgroup programs only, so |
 * |                                                    |        | probe it with CGROUP_SOCK_ADDR's type; in      |
 * |                                                    |        | recvmsg and getpeername it is never allowed.)  |
 */
#include "spillway/node_port.h"
#include "spillway/socket.h"

static __always_inline struct end end4(struct bpf_sock_addr *ctx)
{
	return (struct end){ address_v4(ctx->user_ip4), (__be16)ctx->user_port };
}

static __always_inline struct end end6(struct bpf_sock_addr *ctx)
{
	return (struct end){ { { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] } },
			     (__be16)ctx->user_port };
}

static __always_inline void write4(struct bpf_sock_addr *ctx, const struct address *address, __be16 port)
{
	ctx->user_ip4 = address->word[3];
	ctx->user_port = port;
}

static __always_inline void write6(struct bpf_sock_addr *ctx, const struct address *address, __be16 port)
{
	ctx->user_ip6[0] = address->word[0];
	ctx->user_ip6[1] = address->word[1];
	ctx->user_ip6[2] = address->word[2];
	ctx->user_ip6[3] = address->word[3];
	ctx->user_port = port;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct end to = end4(ctx);
	int verdict = serve_connect(ctx, &to);
	if (verdict < 0)
		return refuse(verdict);
	if (verdict == TRANSLATE)
		write4(ctx, &to.address, to.port);
	return ALLOW;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct end to = end6(ctx);
	int verdict = serve_connect(ctx, &to);
	if (verdict < 0)
		return refuse(verdict);
	if (verdict == TRANSLATE)
		write6(ctx, &to.address, to.port);
	return ALLOW;
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	struct end to = end4(ctx);
	int verdict = serve_send(ctx, &to);
	if (verdict < 0)
		return refuse(verdict);
	if (verdict == TRANSLATE)
		write4(ctx, &to.address, to.port);
	return ALLOW;
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	struct end to = end6(ctx);
	int verdict = serve_send(ctx, &to);
	if (verdict < 0)
		return refuse(verdict);
	if (verdict == TRANSLATE)
		write6(ctx, &to.address, to.port);
	return ALLOW;
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	struct end from = end4(ctx);
	const struct translation *was = reverse_of(ctx->sk, &from.address, from.port);
	if (was) {
		write4(ctx, &was->frontend, was->frontend_port);
		count(COUNTER_RECEIVE);
	}
	return ALLOW;
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	struct end from = end6(ctx);
	const struct translation *was = reverse_of(ctx->sk, &from.address, from.port);
	if (was) {
		write6(ctx, &was->frontend, was->frontend_port);
		count(COUNTER_RECEIVE);
	}
	return ALLOW;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	struct end peer = end4(ctx);
	const struct translation *was = bpf_sk_storage_get(&socket_peer, ctx->sk, 0, 0);
	if (was && is_backend(was, &peer.address, peer.port)) {
		write4(ctx, &was->frontend, was->frontend_port);
		count(COUNTER_PEER_NAME);
	}
	return ALLOW;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	struct end peer = end6(ctx);
	const struct translation *was = bpf_sk_storage_get(&socket_peer, ctx->sk, 0, 0);
	if (was && is_backend(was, &peer.address, peer.port)) {
		write6(ctx, &was->frontend, was->frontend_port);
		count(COUNTER_PEER_NAME);
	}
	return ALLOW;
}

SEC("cgroup/post_bind4")
int post_bind4(struct bpf_sock *socket)
{
	return guard_node_port(socket, 1, 0);
}

SEC("cgroup/post_bind6")
int post_bind6(struct bpf_sock *socket)
{
	/* Bound to ::, it may take the port of IPv4 too. */
	int is_any = !(socket->src_ip6[0] | socket->src_ip6[1] | socket->src_ip6[2] | socket->src_ip6[3]);
	return guard_node_port(socket, is_any, 1);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
