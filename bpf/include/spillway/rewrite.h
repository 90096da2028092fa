/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Other addresses and ports in a packet, its checksums along with them.
 *
 * Sizes never change, so a giant that is to be cut up later stays whole. Checksums are changed by the difference (RFC 1624)
 * by helpers that know in which state the kernel has the checksum; each covers either the pseudo header or ports, for one
 * half of a checksum that the device is to complete holds the pseudo header alone.
 */
#pragma once

#include <stddef.h>

#include "packet.h"
#include "verdict.h"

enum end {
	END_SOURCE,
	END_DESTINATION,
};

static __always_inline int rewrite_ports_and_checksum(struct __sk_buff *skb, const struct packet *packet, enum end end,
						      __be16 old_port, __be16 port, __s64 difference)
{
	/* RFC 768: a sum of 0 means none, and stays so; one that comes out as 0 is sent as 0xffff. */
	__u64 flags = packet_is_tcp(packet) ? 0 : BPF_F_MARK_MANGLED_0;
	__u32 checksum = packet->l4 +
			 (packet_is_tcp(packet) ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check));
	__u32 at = packet->l4 + (end == END_SOURCE ? 0 : 2);

	return bpf_l4_csum_replace(skb, checksum, 0, difference, flags | BPF_F_PSEUDO_HDR) ||
	       bpf_l4_csum_replace(skb, checksum, old_port, port, flags | sizeof(port)) ||
	       bpf_skb_store_bytes(skb, at, &port, sizeof(port), 0);
}

/* One end of the packet gets another address and port. Returns 0, or a drop. */
static __always_inline int rewrite_end(struct __sk_buff *skb, struct packet *packet, enum end end, const struct address *address,
				       __be16 port)
{
	struct address *old = end == END_SOURCE ? &packet->tuple.source : &packet->tuple.destination;
	__be16 *old_port = end == END_SOURCE ? &packet->tuple.source_port : &packet->tuple.destination_port;
	__s64 difference = bpf_csum_diff(old->word, sizeof(*old), (__be32 *)address->word, sizeof(*address), 0);
	int failed;

	if (!packet->is_later && rewrite_ports_and_checksum(skb, packet, end, *old_port, port, difference))
		return DROP(SPILLWAY_DROP_REWRITE_FAILED);
	if (packet->is_v4) {
		__u32 at = L3 + (end == END_SOURCE ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr));
		failed = bpf_l3_csum_replace(skb, L3 + offsetof(struct iphdr, check), 0, difference, 0) ||
			 bpf_skb_store_bytes(skb, at, &address->word[3], sizeof(__be32), 0);
	} else {
		__u32 at = L3 + (end == END_SOURCE ? offsetof(struct ipv6hdr, saddr) : offsetof(struct ipv6hdr, daddr));
		/* No checksum in the header makes up for the change, so that a sum of the whole frame that the device
		 * has given must follow it.
		 */
		failed = bpf_skb_store_bytes(skb, at, address, sizeof(*address), BPF_F_RECOMPUTE_CSUM);
	}
	if (failed)
		return DROP(SPILLWAY_DROP_REWRITE_FAILED);
	*old = *address;
	*old_port = port;
	return 0;
}

/* One hop less; the caller has seen that there are some. Returns 0, or a drop. */
static __always_inline int rewrite_hops(struct __sk_buff *skb, struct packet *packet)
{
	__u8 hops = packet->hops - 1;
	int failed;

	if (packet->is_v4) {
		/* With the protocol, which shares its word. */
		__be16 old = bpf_htons((__u16)(packet->hops << 8 | packet->tuple.protocol));
		__be16 new = bpf_htons((__u16)(hops << 8 | packet->tuple.protocol));
		failed = bpf_l3_csum_replace(skb, L3 + offsetof(struct iphdr, check), old, new, sizeof(new)) ||
			 bpf_skb_store_bytes(skb, L3 + offsetof(struct iphdr, ttl), &hops, sizeof(hops), 0);
	} else {
		failed = bpf_skb_store_bytes(skb, L3 + offsetof(struct ipv6hdr, hop_limit), &hops, sizeof(hops),
					     BPF_F_RECOMPUTE_CSUM);
	}
	packet->hops = hops;
	return failed ? DROP(SPILLWAY_DROP_REWRITE_FAILED) : 0;
}
