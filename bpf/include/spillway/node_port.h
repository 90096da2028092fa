/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* A NodePort belongs to its Service: a socket of the host that bound it would never hear a client, for both the programs on
 * devices and connect() on this node are faster. So bind() says so at once, as Cilium's does.
 */
#pragma once

#include "socket.h"

static __always_inline int is_node_port(const struct address *node_address, __be16 port, __u8 protocol)
{
	const struct frontend *frontend = frontend_find(node_address, port, protocol, SCOPE_INTERNAL);
	return frontend && frontend->kind == KIND_NODE_PORT;
}

static __always_inline int is_set(const struct address *address)
{
	return address->word[0] || address->word[1] || address->word[3];
}

/* Answers for bind(): only sockets of the host, only ports that are NodePorts now. */
static __always_inline int guard_node_port(struct bpf_sock *socket, int takes_v4, int takes_v6)
{
	const struct settings *node = node_settings();
	__u32 port = socket->src_port; /* in the machine's order */
	__u8 protocol = socket->protocol;

	if (!node || !(node->flags & SETTINGS_GUARD_NODE_PORTS))
		return ALLOW;
	if (port < node->node_port_min || port > node->node_port_max)
		return ALLOW;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return ALLOW;
	if (bpf_get_netns_cookie(socket) != host_cookie(node))
		return ALLOW;
	__be16 wire = bpf_htons((__u16)port);
	if (!(takes_v4 && is_set(&node->node_ipv4) && is_node_port(&node->node_ipv4, wire, protocol)) &&
	    !(takes_v6 && is_set(&node->node_ipv6) && is_node_port(&node->node_ipv6, wire, protocol)))
		return ALLOW;
	count(COUNTER_BIND_REFUSED);
	return refuse(-EADDRINUSE);
}
