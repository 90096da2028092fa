/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* A packet to a frontend: which backend gets it, and how it comes there. */
#pragma once

#include "lb.h"
#include "nat.h"
#include "route.h"

/* Who forwards. */
enum direction_of_travel {
	NORTH_SOUTH, /* from outside, to a pod or to another node */
	EAST_WEST,   /* from a pod of this node; the stack brings it on, with the pod's own address */
};

struct forward {
	struct conntrack flow; /* as in the original row: the backend */
	struct route route;
	__u32 way;	       /* enum way; WAY_PASS: the route is not set */
};

/* Sources that are nobody's, which the stack would refuse; but a redirected packet does not meet it. */
static __always_inline int source_is_bogon(const struct packet *packet)
{
	const struct tuple *tuple = &packet->tuple;

	if (address_equal(&tuple->source, &tuple->destination))
		return 1;
	if (packet->is_v4) {
		__u8 first = bpf_ntohl(tuple->source.word[3]) >> 24;
		return first == 0 || first == 127 || first >= 224;
	}
	if (tuple->source.word[0] || tuple->source.word[1] || tuple->source.word[2])
		return (bpf_ntohl(tuple->source.word[0]) >> 24) == 0xff || address_is_v4(&tuple->source);
	return bpf_ntohl(tuple->source.word[3]) <= 1;
}

/* Whether the packet begins anew where a flow of its tuple was: what is known of that is of no use any more. */
static __always_inline int flow_is_over(const struct packet *packet, const struct frontend *frontend,
					const struct conntrack *original, const struct conntrack *reply)
{
	if (!packet_opens(packet))
		return 0;
	struct backend *backend = backend_of(original->backend, original->service);
	if (!backend || original->service != frontend->service)
		return 1;
	if (!packet_is_tcp(packet))
		return 0;
	return ((original->flags | (reply ? reply->flags : 0)) & (CONNTRACK_CLOSING | CONNTRACK_CLOSED)) ||
	       !backend_may_stay(frontend, backend);
}

/* What is answered to a packet for a frontend that nobody is behind: of a NodePort, the stack's refusal. */
static __always_inline int forward_refused(const struct frontend *frontend, enum spillway_drop_reason reason)
{
	if (frontend->kind == KIND_NODE_PORT && !(frontend->flags & FRONTEND_ELSEWHERE))
		return NEXT;
	return DROP(reason);
}

/* Chooses the backend of a new flow. Returns 0, or a verdict. */
static __always_inline int forward_choose(const struct packet *packet, const struct frontend *frontend,
					  enum direction_of_travel travel, struct conntrack *flow)
{
	__u32 index;

	if (!packet_opens(packet)) {
		/* Flows of before we were there, which somebody else may know: kube-proxy, until it is taken away. */
		return frontend->kind == KIND_NODE_PORT || travel == EAST_WEST ? NEXT : DROP(SPILLWAY_DROP_NOT_SYN);
	}
	if (packet->tcp_flags & (TCP_FIN | TCP_RST))
		return DROP(SPILLWAY_DROP_BAD_TCP_FLAGS);
	if (!packet->tuple.source_port)
		return DROP(SPILLWAY_DROP_ZERO_PORT);
	if (!frontend->count)
		return forward_refused(frontend, SPILLWAY_DROP_NO_BACKEND);
	__u64 hash = frontend->flags & FRONTEND_MAGLEV ? flow_hash(&packet->tuple) : 0;
	struct backend *backend = backend_pick(frontend, &packet->tuple.source, hash, &index);
	if (!backend)
		return DROP(SPILLWAY_DROP_NO_BACKEND);
	*flow = (struct conntrack){
		.last_seen_ns = bpf_ktime_get_ns(),
		.address = backend->address,
		.port = backend->port,
		.flags = backend->flags & BACKEND_LOCAL ? CONNTRACK_PASS : CONNTRACK_SNAT,
		.service = frontend->service,
		.backend = index,
		.frontend = frontend->id,
		.packets = 1,
	};
	return 0;
}

/* Of a flow between two pods: the stack has the way, and the pod keeps its address. A pod that is its own backend would
 * not take its own address from outside: it meets the node's, and is reached by the device.
 */
static __always_inline int forward_place_east_west(struct __sk_buff *skb, const struct packet *packet,
						   const struct settings *node, struct forward *it)
{
	const struct address *source = nat_address(node, packet);

	it->way = WAY_PASS;
	it->flow.flags &= ~(CONNTRACK_SNAT | CONNTRACK_PASS);
	it->flow.flags |= CONNTRACK_EAST_WEST;
	if (!address_equal(&it->flow.address, &packet->tuple.source))
		return 0;
	if (!nat_has_address(source))
		return DROP(SPILLWAY_DROP_NO_SNAT_ADDRESS);
	if (route_find(skb, packet, source, &it->flow.address, &it->route) != FOUND)
		return DROP(SPILLWAY_DROP_NO_ROUTE);
	it->flow.flags |= CONNTRACK_SNAT;
	struct device *device = route_device(&it->route);
	it->way = device && device->way == WAY_PEER ? WAY_PEER : WAY_NEIGHBOR;
	return 0;
}

/* Finds the way to the backend: of a new flow, what it will be; of an old one, what has become of it. Returns 0, or
 * a drop.
 */
static __always_inline int forward_place(struct __sk_buff *skb, const struct packet *packet, const struct settings *node,
					 int is_new, struct forward *it)
{
	const struct address *source = nat_address(node, packet);
	struct conntrack *flow = &it->flow;

	it->way = WAY_PASS;
	if (!is_new && (flow->flags & CONNTRACK_PASS))
		return 0;
	enum found found = route_find(skb, packet, nat_has_address(source) ? source : &packet->tuple.source, &flow->address,
				      &it->route);
	if (found == FOUND_NARROW)
		return DROP(SPILLWAY_DROP_PACKET_TOO_BIG);
	struct device *device = found == FOUND ? route_device(&it->route) : 0;
	if (is_new && device)
		flow->flags = 0; /* pods are behind it, so this one is here */
	if (flow->flags & CONNTRACK_SNAT) {
		if (found == FOUND_NONE)
			return DROP(SPILLWAY_DROP_NO_ROUTE);
		it->way = WAY_NEIGHBOR;
		return nat_has_address(source) ? 0 : DROP(SPILLWAY_DROP_NO_SNAT_ADDRESS);
	}
	/* On this node, though behind no device that we know: a pod of the host's network, or one not told of yet. */
	if (device)
		it->way = device->way;
	flow->flags = it->way == WAY_PASS ? CONNTRACK_PASS : 0;
	return 0;
}

/* Takes down what is known of the flow from now on. Returns 0, or a drop. */
static __always_inline int forward_record(struct __sk_buff *skb, const struct packet *packet, struct conntrack *known,
					  struct conntrack *reply, struct conntrack *flow)
{
	if (!known) {
		flow->bytes = skb->len;
		return conntrack_open(&packet->tuple, flow);
	}
	/* The device is gone, or delivers otherwise now. */
	known->flags |= flow->flags & CONNTRACK_PASS;
	if (reply) {
		reply->flags |= flow->flags & CONNTRACK_PASS;
	} else {
		struct tuple key = conntrack_reply_key(&packet->tuple, flow);
		int verdict = conntrack_write_reply(&packet->tuple, &key, flow);
		if (verdict)
			return verdict;
	}
	conntrack_touch(skb, packet, known, reply);
	return 0;
}

/* Gives the packet its new ends and sends it. */
static __always_inline int forward_send(struct __sk_buff *skb, struct packet *packet, const struct settings *node,
					const struct forward *it, __be16 lent)
{
	int verdict;

	if (it->flow.flags & CONNTRACK_SNAT) {
		verdict = rewrite_end(skb, packet, END_SOURCE, nat_address(node, packet), lent);
		if (verdict)
			return verdict;
	}
	verdict = rewrite_end(skb, packet, END_DESTINATION, &it->flow.address, it->flow.port);
	if (verdict)
		return verdict;
	count(COUNTER_FORWARD);
	if (it->way == WAY_PASS)
		return NEXT;
	verdict = rewrite_hops(skb, packet);
	return verdict ? verdict : route_send(skb, &it->route, it->way);
}

/* The whole way of a packet to a frontend. Returns a verdict. */
static __always_inline int forward(struct __sk_buff *skb, struct packet *packet, const struct settings *node,
				   const struct frontend *frontend, enum direction_of_travel travel)
{
	struct conntrack *known, *reply = 0;
	struct forward it;
	__be16 lent = 0;
	int verdict;

	if (source_is_bogon(packet))
		return DROP(SPILLWAY_DROP_BOGON_SOURCE);
	if ((frontend->flags & FRONTEND_GUARDED) && !source_is_allowed(frontend->service, &packet->tuple.source))
		return DROP(SPILLWAY_DROP_SOURCE_RANGE);
	known = conntrack_find(&packet->tuple);
	if (known) {
		struct tuple key = conntrack_reply_key(&packet->tuple, known);
		reply = conntrack_find(&key);
		if (flow_is_over(packet, frontend, known, reply)) {
			bpf_map_delete_elem(&conntrack, &key);
			known = reply = 0;
		} else {
			it.flow = *known;
		}
	}
	if (!known) {
		verdict = forward_choose(packet, frontend, travel, &it.flow);
		if (verdict)
			return verdict;
	}
	verdict = travel == EAST_WEST ? forward_place_east_west(skb, packet, node, &it)
				      : forward_place(skb, packet, node, !known, &it);
	if (verdict)
		return verdict;
	if (it.way != WAY_PASS && packet->hops <= 1)
		return DROP(SPILLWAY_DROP_TTL_EXPIRED);
	if (it.flow.flags & CONNTRACK_SNAT) {
		struct tuple towards = packet->tuple;
		towards.destination = it.flow.address;
		towards.destination_port = it.flow.port;
		verdict = nat_lend(node, packet, &towards, &lent);
		if (verdict)
			return verdict;
	}
	verdict = forward_record(skb, packet, known, reply, &it.flow);
	if (verdict)
		return verdict;
	return forward_send(skb, packet, node, &it, lent);
}
