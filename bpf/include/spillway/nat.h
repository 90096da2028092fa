/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Source ports of the node, lent to flows whose backend must answer to this node.
 *
 * A port is lent per backend: the key of the reply row has the backend in it, so each backend has the whole range.
 */
#pragma once

#include "conntrack.h"

/* Ports that are asked for before a flow is refused. */
#define NAT_TRIES_MAX 32

static __always_inline const struct address *nat_address(const struct settings *node, const struct packet *packet)
{
	return packet->is_v4 ? &node->node_ipv4 : &node->node_ipv6;
}

static __always_inline int nat_has_address(const struct address *address)
{
	return address->word[3] || address->word[2] || address->word[1] || address->word[0];
}

/* Whether a packet is to an address and port that may be lent. */
static __always_inline int nat_may_be_lent(const struct settings *node, const struct packet *packet)
{
	__u16 port = bpf_ntohs(packet->tuple.destination_port);

	return port >= node->snat_port_min && port <= node->snat_port_max &&
	       address_equal(&packet->tuple.destination, nat_address(node, packet));
}

static __always_inline int nat_is_of(const struct nat *reply, const struct tuple *towards)
{
	return reply->port == towards->source_port && address_equal(&reply->address, &towards->source);
}

/* Key of the row for the answers to what `towards` sends from a lent port. */
static __always_inline struct tuple nat_reply_key(const struct tuple *towards, const struct address *node, __be16 port)
{
	return (struct tuple){
		.source = towards->destination,
		.destination = *node,
		.source_port = towards->destination_port,
		.destination_port = port,
		.protocol = towards->protocol,
		.direction = DIRECTION_REPLY,
	};
}

/* Whether the port of this reply row may be this flow's: it is nobody's, or still its own. */
static __always_inline int nat_is_free(const struct tuple *key, const struct tuple *towards)
{
	struct nat *taken = bpf_map_lookup_elem(&nat, key);

	return !taken || nat_is_of(taken, towards);
}

/* Finds a port that may be the flow's, the one it had if its rows were evicted. Leaves it in the key. */
static __always_inline int nat_search(const struct settings *node, const struct tuple *towards, struct tuple *key)
{
	__u64 hash = flow_hash(towards);
	__u32 ports = (__u32)node->snat_port_max - node->snat_port_min + 1;
	/* Steps of its own for each flow, lest crowds form; one by one where a few tries see every port. */
	__u32 step = ports > NAT_TRIES_MAX ? 1 + (__u32)(hash >> 32) % (ports - 1) : 1;
	__u32 at = (__u32)hash % ports;

	for (int tries = 0; tries < NAT_TRIES_MAX; tries++) {
		key->destination_port = bpf_htons((__u16)(node->snat_port_min + at));
		if (nat_is_free(key, towards))
			return 1;
		count(COUNTER_NAT_RETRIES);
		at = (at + step) % ports;
	}
	return 0;
}

/* Writes both rows, or neither. */
static __always_inline int nat_write(const struct tuple *towards, const struct tuple *key)
{
	struct nat row = { .last_seen_ns = bpf_ktime_get_ns(), .address = towards->source, .port = towards->source_port };
	struct nat *taken = bpf_map_lookup_elem(&nat, key);

	if (taken)
		taken->last_seen_ns = row.last_seen_ns;
	else if (bpf_map_update_elem(&nat, key, &row, BPF_NOEXIST))
		return 0; /* another CPU was faster, or there is no memory: the client asks again */
	row.address = key->destination;
	row.port = key->destination_port;
	if (!bpf_map_update_elem(&nat, towards, &row, BPF_ANY))
		return 1;
	bpf_map_delete_elem(&nat, key);
	return 0;
}

/* Whether the flow still has the port in `key`; if so, both rows are fresh again. */
static __always_inline int nat_has(const struct tuple *towards, const struct tuple *key, struct nat *had)
{
	struct nat *reply = bpf_map_lookup_elem(&nat, key);

	if (!reply || !nat_is_of(reply, towards))
		return 0;
	had->last_seen_ns = reply->last_seen_ns = bpf_ktime_get_ns();
	return 1;
}

/* The port that the flow `towards` (client -> backend) has been lent, or one that is lent now. Returns 0, or a drop. */
static __always_inline int nat_lend(const struct settings *node, const struct packet *packet, const struct tuple *towards,
				    __be16 *port)
{
	const struct address *address = nat_address(node, packet);
	struct nat *had = bpf_map_lookup_elem(&nat, towards);
	struct tuple key = nat_reply_key(towards, address, had ? had->port : 0);

	if (had && !address_equal(&had->address, address))
		had = 0;
	if (!had || !nat_has(towards, &key, had)) {
		if ((!had || !nat_is_free(&key, towards)) && !nat_search(node, towards, &key))
			return DROP(SPILLWAY_DROP_SNAT_PORTS_EXHAUSTED);
		if (!nat_write(towards, &key)) {
			count(COUNTER_CONNTRACK_FAILED);
			return DROP(SPILLWAY_DROP_CONNTRACK_FULL);
		}
	}
	*port = key.destination_port;
	return 0;
}

/* The client that an answer to a lent port is for, in `ends` (backend -> client). Returns 0 if the port is lent to
 * nobody: then the packet is another's.
 */
static __always_inline int nat_find_client(const struct settings *node, const struct packet *packet, struct tuple *ends)
{
	if (!nat_may_be_lent(node, packet))
		return 0;
	*ends = packet->tuple;
	ends->direction = DIRECTION_REPLY;
	struct nat *lent = bpf_map_lookup_elem(&nat, ends);
	if (!lent)
		return 0;
	lent->last_seen_ns = bpf_ktime_get_ns();
	ends->destination = lent->address;
	ends->destination_port = lent->port;
	return 1;
}
