/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The headers of a frame, read once; both families look alike afterwards. */
#pragma once

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "fragment.h"

#define L3 ETH_HLEN

/* IPv6 headers between the fixed one and TCP or UDP that are looked through. */
#define EXTENSIONS_MAX 6

/* Octet 13 of a TCP header. */
enum tcp_flags {
	TCP_FIN = 1 << 0,
	TCP_SYN = 1 << 1,
	TCP_RST = 1 << 2,
	TCP_ACK = 1 << 4,
};

struct packet {
	struct tuple tuple;
	__u32 l4;	 /* where TCP or UDP begins */
	__u32 end;	 /* where the IP packet ends; what follows is padding of Ethernet */
	__u8 is_v4;
	__u8 is_later;	 /* a fragment other than the first: no ports in it, and no checksum */
	__u8 hops;	 /* TTL, hop limit */
	__u8 tcp_flags;	 /* enum tcp_flags; none of UDP and of a later fragment */
};

static __always_inline int packet_load(struct __sk_buff *skb, __u32 at, void *into, __u32 size)
{
	return bpf_skb_load_bytes(skb, at, into, size) == 0;
}

/* The length is that of a giant, which says nothing in its header if it is beyond 64 KiB (BIG TCP, kernel 5.19). */
static __always_inline __u32 packet_end(struct __sk_buff *skb, __u32 length)
{
	return skb->gso_size ? skb->len : L3 + length;
}

static __always_inline int packet_parse_v4(struct __sk_buff *skb, struct packet *packet, struct fragment *fragment)
{
	struct iphdr ip;

	if (!packet_load(skb, L3, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return 0;
	packet->is_v4 = 1;
	packet->hops = ip.ttl;
	packet->tuple.source = address_v4(ip.saddr);
	packet->tuple.destination = address_v4(ip.daddr);
	packet->tuple.protocol = ip.protocol;
	packet->l4 = L3 + ip.ihl * 4;
	packet->end = packet_end(skb, bpf_ntohs(ip.tot_len));
	packet->is_later = (ip.frag_off & bpf_htons(0x1fff)) != 0;
	fragment->is_one = (ip.frag_off & bpf_htons(0x3fff)) != 0;
	fragment->key.id = ip.id;
	return 1;
}

/* Steps over an extension header, if there is one. Returns 1 if another may follow, 0 if not, below 0 if it is cut. */
static __always_inline int packet_step_v6(struct __sk_buff *skb, struct packet *packet, struct fragment *fragment)
{
	__u8 kind = packet->tuple.protocol;
	struct {
		__u8 next;
		__u8 length;
		__be16 offset;
		__be32 id;
	} extension;

	if (kind != IPPROTO_HOPOPTS && kind != IPPROTO_ROUTING && kind != IPPROTO_DSTOPTS && kind != IPPROTO_FRAGMENT)
		return 0;
	/* Every one of them has a multiple of eight octets (RFC 8200, 4). */
	if (!packet_load(skb, packet->l4, &extension, sizeof(extension)))
		return -1;
	packet->tuple.protocol = extension.next;
	packet->l4 += kind == IPPROTO_FRAGMENT ? 8 : (extension.length + 1) * 8;
	if (kind != IPPROTO_FRAGMENT)
		return 1;
	packet->is_later = (extension.offset & bpf_htons(0xfff8)) != 0;
	fragment->is_one = (extension.offset & bpf_htons(0xfff9)) != 0;
	fragment->key.id = extension.id;
	return !packet->is_later;
}

/* Looks through extension headers. */
static __always_inline int packet_parse_v6(struct __sk_buff *skb, struct packet *packet, struct fragment *fragment)
{
	struct ipv6hdr ip;
	int more = 1;

	if (!packet_load(skb, L3, &ip, sizeof(ip)) || ip.version != 6)
		return 0;
	packet->hops = ip.hop_limit;
	__builtin_memcpy(&packet->tuple.source, &ip.saddr, sizeof(ip.saddr));
	__builtin_memcpy(&packet->tuple.destination, &ip.daddr, sizeof(ip.daddr));
	packet->tuple.protocol = ip.nexthdr;
	packet->l4 = L3 + sizeof(ip);
	packet->end = packet_end(skb, sizeof(ip) + bpf_ntohs(ip.payload_len));
	/* No loop is left: the verifier of 6.1 refuses some shapes that clang gives to one ("back-edge"). */
#pragma unroll
	for (int extensions = 0; extensions < EXTENSIONS_MAX; extensions++)
		if (more > 0)
			more = packet_step_v6(skb, packet, fragment);
	return more >= 0;
}

static __always_inline int packet_parse_ports(struct __sk_buff *skb, struct packet *packet)
{
	struct tcphdr tcp;
	__u32 size = packet->tuple.protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);

	if (packet->l4 + size > packet->end)
		return 0;
	if (packet->tuple.protocol == IPPROTO_UDP)
		return packet_load(skb, packet->l4, &packet->tuple.source_port, 4);
	if (!packet_load(skb, packet->l4, &tcp, sizeof(tcp)))
		return 0;
	packet->tuple.source_port = tcp.source;
	packet->tuple.destination_port = tcp.dest;
	packet->tcp_flags = ((__u8 *)&tcp)[13];
	return 1;
}

/* Reads a frame that may be ours: TCP or UDP, for this host, without a VLAN tag. Returns 0 of all others, those whose
 * headers are broken among them: the stack is the one to judge them, and counts them.
 */
static __always_inline int packet_parse(struct __sk_buff *skb, struct packet *packet)
{
	struct fragment fragment = {};

	__builtin_memset(packet, 0, sizeof(*packet));
	if (skb->vlan_present)
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (!packet_parse_v4(skb, packet, &fragment))
			return 0;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (!packet_parse_v6(skb, packet, &fragment))
			return 0;
	} else {
		return 0;
	}
	if (packet->tuple.protocol != IPPROTO_TCP && packet->tuple.protocol != IPPROTO_UDP)
		return 0;
	if (packet->end > skb->len)
		return 0;
	if (packet->is_later)
		return fragment_recall(&fragment, &packet->tuple);
	if (!packet_parse_ports(skb, packet))
		return 0;
	if (fragment.is_one)
		fragment_remember(&fragment, &packet->tuple);
	return 1;
}

static __always_inline int packet_is_tcp(const struct packet *packet)
{
	return packet->tuple.protocol == IPPROTO_TCP;
}

/* Whether it may open a flow: every UDP packet, and of TCP a SYN alone. */
static __always_inline int packet_opens(const struct packet *packet)
{
	return !packet_is_tcp(packet) || (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}
