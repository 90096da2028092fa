// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Makes a veth end speak 802.1Q with one tag. See vlan.rs.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#define SEC(name) __attribute__((section(name), used))

static long (*bpf_skb_vlan_push)(struct __sk_buff *skb, __u16 proto, __u16 tci) =
	(void *)BPF_FUNC_skb_vlan_push;
static long (*bpf_skb_vlan_pop)(struct __sk_buff *skb) = (void *)BPF_FUNC_skb_vlan_pop;

enum {
	ETH_P_8021Q_NET = __builtin_bswap16(0x8100),
	VLAN_VID_MASK = 0x0fff,
};

SEC("egress") int tag(struct __sk_buff *skb)
{
	return bpf_skb_vlan_push(skb, ETH_P_8021Q_NET, TAG) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("ingress") int untag(struct __sk_buff *skb)
{
	if (!skb->vlan_present || (skb->vlan_tci & VLAN_VID_MASK) != TAG)
		return TC_ACT_SHOT;
	return bpf_skb_vlan_pop(skb) ? TC_ACT_SHOT : TC_ACT_OK;
}

char _license[] SEC("license") = "Dual MIT/GPL";
