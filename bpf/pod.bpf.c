// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* The devices that pods are behind: what leaves a pod, and what goes to it. */
#include <linux/pkt_cls.h>

#include "spillway/lb.h"
#include "spillway/report.h"

SEC("classifier")
int from_container(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

SEC("classifier")
int to_container(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
