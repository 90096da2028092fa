/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* An answer on its way back: it must come from the frontend that the client has asked.
 *
 * The order is that of the way out, backwards: first the lent port tells the client, then the client and the backend tell
 * the flow.
 */
#pragma once

#include "nat.h"
#include "route.h"

/* Not an answer to anything of ours; beyond all verdicts and drops. */
#define NOT_OURS 1024

/* The flow that the answer `ends` (backend -> client) belongs to, if it is one of those that are undone here: of the flags
 * in `mask` it has exactly `flags`.
 */
static __always_inline struct conntrack *reply_find(const struct tuple *ends, __u16 mask, __u16 flags)
{
	struct conntrack *flow = conntrack_find(ends);

	return flow && (flow->flags & mask) == flags ? flow : 0;
}

/* Undoes the answer where the stack sends it on. Returns a verdict. */
static __always_inline int reply_in_passing(struct __sk_buff *skb, struct packet *packet, __u16 mask, __u16 flags)
{
	struct tuple ends = packet->tuple;

	ends.direction = DIRECTION_REPLY;
	struct conntrack *flow = reply_find(&ends, mask, flags);
	if (!flow)
		return NEXT;
	conntrack_touch_reply(skb, packet, &ends, flow);
	count(COUNTER_REPLY);
	int verdict = rewrite_end(skb, packet, END_SOURCE, &flow->address, flow->port);
	return verdict ? verdict : NEXT;
}

/* Undoes the answer and sends it to the client, past the stack: that would not take a source of its own. Returns
 * a verdict.
 */
static __always_inline int reply_send(struct __sk_buff *skb, struct packet *packet, const struct tuple *ends,
				      struct conntrack *flow)
{
	struct route route;
	int verdict;

	enum found found = route_find(skb, packet, &flow->address, &ends->destination, &route);
	if (found != FOUND)
		return DROP(found == FOUND_NARROW ? SPILLWAY_DROP_PACKET_TOO_BIG : SPILLWAY_DROP_NO_ROUTE);
	if (packet->hops <= 1)
		return DROP(SPILLWAY_DROP_TTL_EXPIRED);
	conntrack_touch_reply(skb, packet, ends, flow);
	count(COUNTER_REPLY);
	if (flow->flags & CONNTRACK_SNAT) {
		verdict = rewrite_end(skb, packet, END_DESTINATION, &ends->destination, ends->destination_port);
		if (verdict)
			return verdict;
	}
	verdict = rewrite_end(skb, packet, END_SOURCE, &flow->address, flow->port);
	if (verdict)
		return verdict;
	verdict = rewrite_hops(skb, packet);
	if (verdict)
		return verdict;
	struct device *device = route_device(&route);
	return route_send(skb, &route, device ? device->way : WAY_NEIGHBOR);
}

/* An answer to a lent port. Returns a verdict, or NOT_OURS. */
static __always_inline int reply_from_elsewhere(struct __sk_buff *skb, struct packet *packet, const struct settings *node)
{
	struct tuple ends;

	if (!nat_find_client(node, packet, &ends))
		return NOT_OURS;
	struct conntrack *flow = reply_find(&ends, CONNTRACK_SNAT, CONNTRACK_SNAT);
	/* The client's next packet writes the row again. */
	return flow ? reply_send(skb, packet, &ends, flow) : DROP(SPILLWAY_DROP_NO_FLOW);
}

/* An answer of a pod that got the packet by redirection. Returns a verdict, or NOT_OURS. */
static __always_inline int reply_from_pod(struct __sk_buff *skb, struct packet *packet)
{
	struct tuple ends = packet->tuple;

	ends.direction = DIRECTION_REPLY;
	struct conntrack *flow = reply_find(&ends, CONNTRACK_EAST_WEST | CONNTRACK_SNAT | CONNTRACK_PASS, 0);
	return flow ? reply_send(skb, packet, &ends, flow) : NOT_OURS;
}
