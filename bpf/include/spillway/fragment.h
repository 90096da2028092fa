/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Ports of fragmented packets: only the first fragment has them, the others find them here by their identification.
 *
 * A later fragment that comes before the first is unknown, and so left alone.
 */
#pragma once

#include "address.h"
#include "maps.h"

struct fragment_key {
	struct address source;
	struct address destination;
	__be32 id;
	__u32 protocol;
};

struct fragment {
	struct fragment_key key;
	__u32 is_one;
};

struct fragment_ports {
	__be16 source_port;
	__be16 destination_port;
};

/* Not pinned: what it holds is of use for some milliseconds. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

static __always_inline void fragment_identify(struct fragment *it, const struct tuple *tuple)
{
	it->key.source = tuple->source;
	it->key.destination = tuple->destination;
	it->key.protocol = tuple->protocol;
}

static __always_inline void fragment_remember(struct fragment *it, const struct tuple *tuple)
{
	struct fragment_ports ports = { tuple->source_port, tuple->destination_port };

	fragment_identify(it, tuple);
	bpf_map_update_elem(&fragments, &it->key, &ports, BPF_ANY);
}

/* Gives a later fragment its ports. Returns 0 if they are not known. */
static __always_inline int fragment_recall(struct fragment *it, struct tuple *tuple)
{
	fragment_identify(it, tuple);
	struct fragment_ports *ports = bpf_map_lookup_elem(&fragments, &it->key);
	if (!ports)
		return 0;
	tuple->source_port = ports->source_port;
	tuple->destination_port = ports->destination_port;
	return 1;
}
