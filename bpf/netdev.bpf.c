// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* The devices that the node reaches the world by: NodePorts and external addresses come in, answers go out. */
#include "spillway/forward.h"
#include "spillway/reply.h"

/* Ingress. Packets to frontends go to a backend; answers of backends elsewhere go back to their clients. */
SEC("classifier")
int from_netdev(struct __sk_buff *skb)
{
	struct packet packet;
	const struct settings *node = node_settings();

	if (!node || skb->pkt_type != PACKET_HOST || !packet_parse(skb, &packet))
		return NEXT;
	struct tuple came = packet.tuple;
	int verdict = reply_from_elsewhere(skb, &packet, node);
	if (verdict == NOT_OURS) {
		struct frontend *frontend = frontend_find(&packet.tuple.destination, packet.tuple.destination_port,
							  packet.tuple.protocol, SCOPE_EXTERNAL);
		verdict = frontend ? forward(skb, &packet, node, frontend, NORTH_SOUTH) : NEXT;
	}
	return verdict_report(skb, &came, verdict, PROGRAM_FROM_NETDEV);
}

/* Egress. The stack brings answers of pods that it delivered to: here they get the frontend's address, which it would
 * not have let through.
 */
SEC("classifier")
int to_netdev(struct __sk_buff *skb)
{
	struct packet packet;

	if (!packet_parse(skb, &packet))
		return NEXT;
	struct tuple came = packet.tuple;
	int verdict = reply_in_passing(skb, &packet, CONNTRACK_EAST_WEST | CONNTRACK_PASS, CONNTRACK_PASS);
	return verdict_report(skb, &came, verdict, PROGRAM_TO_NETDEV);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
