// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* The devices that the node reaches the world by: NodePorts and external addresses come in, answers go out. */
#include <linux/pkt_cls.h>

#include "spillway/lb.h"
#include "spillway/report.h"

SEC("classifier")
int from_netdev(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("classifier")
int to_netdev(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
