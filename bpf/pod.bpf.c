// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* The devices that pods are behind: what leaves a pod, and what goes to it. */
#include "spillway/forward.h"
#include "spillway/reply.h"

/* What is done with a pod's packet to a service whose sockets we did not see. Returns a verdict. */
static __always_inline int from_container_to_service(struct __sk_buff *skb, struct packet *packet, const struct settings *node)
{
	struct frontend *frontend = frontend_find(&packet->tuple.destination, packet->tuple.destination_port,
						  packet->tuple.protocol, SCOPE_INTERNAL);

	if (!frontend)
		return is_unowned_service_address(node, &packet->tuple.destination) ? DROP(SPILLWAY_DROP_UNLISTED_PORT) : NEXT;
	/* Loopback addresses of the host are not the pod's. */
	if (frontend->flags & FRONTEND_HOST_ONLY)
		return NEXT;
	return forward(skb, packet, node, frontend, EAST_WEST);
}

/* Ingress of the pod's device on the host: answers go back to clients outside, packets to services get a backend. */
SEC("classifier")
int from_container(struct __sk_buff *skb)
{
	struct packet packet;
	const struct settings *node = node_settings();

	if (!node || skb->pkt_type != PACKET_HOST || !packet_parse(skb, &packet))
		return NEXT;
	struct tuple came = packet.tuple;
	int verdict = reply_from_pod(skb, &packet);
	if (verdict == NOT_OURS)
		verdict = reply_from_elsewhere(skb, &packet, node); /* a pod that is its own backend */
	if (verdict == NOT_OURS)
		verdict = from_container_to_service(skb, &packet, node);
	return verdict_report(skb, &came, verdict, PROGRAM_FROM_CONTAINER);
}

/* Egress: answers to what this pod asked of a service, from the backend that it does not know. */
SEC("classifier")
int to_container(struct __sk_buff *skb)
{
	struct packet packet;

	if (!packet_parse(skb, &packet))
		return NEXT;
	struct tuple came = packet.tuple;
	int verdict = reply_in_passing(skb, &packet, CONNTRACK_EAST_WEST | CONNTRACK_SNAT, CONNTRACK_EAST_WEST);
	return verdict_report(skb, &came, verdict, PROGRAM_TO_CONTAINER);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
