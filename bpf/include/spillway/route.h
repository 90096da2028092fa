/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The node's own routes, asked for one packet, and the ways to send it by one. */
#pragma once

#include "rewrite.h"

#define FAMILY_IPV4 2
#define FAMILY_IPV6 10

struct route {
	struct bpf_fib_lookup fib;
	__u32 is_neighbor_known;
};

enum found {
	FOUND_NONE,    /* the address is the node's own, has no route, or the node does not forward */
	FOUND,
	FOUND_NARROW, /* the packet is larger than the device takes */
};

/* Finds the way to an address, as it is for packets of this node. */
static __always_inline enum found route_find(struct __sk_buff *skb, const struct packet *packet, const struct address *source,
				      const struct address *destination, struct route *route)
{
	struct bpf_fib_lookup *fib = &route->fib;

	__builtin_memset(route, 0, sizeof(*route));
	fib->ifindex = skb->ifindex;
	fib->l4_protocol = packet->tuple.protocol;
	if (packet->is_v4) {
		fib->family = FAMILY_IPV4;
		fib->ipv4_src = source->word[3];
		fib->ipv4_dst = destination->word[3];
	} else {
		fib->family = FAMILY_IPV6;
		__builtin_memcpy(fib->ipv6_src, source, sizeof(*source));
		__builtin_memcpy(fib->ipv6_dst, destination, sizeof(*destination));
	}
	long found = bpf_fib_lookup(skb, fib, sizeof(*fib), 0);
	route->is_neighbor_known = found == BPF_FIB_LKUP_RET_SUCCESS;
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return FOUND_NARROW;
	/* Without a neighbour the device is told all the same (kernel 5.10). */
	return route->is_neighbor_known || found == BPF_FIB_LKUP_RET_NO_NEIGH ? FOUND : FOUND_NONE;
}

/* Out of the route's device to the next hop, whose MAC address is asked for if it is not known. */
static __always_inline int route_out(const struct route *route)
{
	struct bpf_redir_neigh next_hop = { .nh_family = route->fib.family };

	__builtin_memcpy(next_hop.ipv6_nh, route->fib.ipv6_dst, sizeof(next_hop.ipv6_nh));
	return bpf_redirect_neigh(route->fib.ifindex, &next_hop, sizeof(next_hop), 0);
}

/* What pods are behind, if the route leads to some. */
static __always_inline struct device *route_device(const struct route *route)
{
	__u32 ifindex = route->fib.ifindex;

	return bpf_map_lookup_elem(&devices, &ifindex);
}

/* Sends the packet by the route. Into a pod behind a veth pair the short way is WAY_PEER: the pod's end would take a frame
 * with any MAC address, but who bridges inside a pod (a virtual machine's) looks at it, so it must be known.
 */
static __always_inline int route_send(struct __sk_buff *skb, const struct route *route, __u32 way)
{
	struct {
		__u8 destination[ETH_ALEN];
		__u8 source[ETH_ALEN];
	} macs;

	if (way != WAY_PEER || !route->is_neighbor_known)
		return route_out(route);
	__builtin_memcpy(macs.destination, route->fib.dmac, ETH_ALEN);
	__builtin_memcpy(macs.source, route->fib.smac, ETH_ALEN);
	if (bpf_skb_store_bytes(skb, 0, &macs, sizeof(macs), 0))
		return DROP(SPILLWAY_DROP_REWRITE_FAILED);
	return bpf_redirect_peer(route->fib.ifindex, 0);
}
