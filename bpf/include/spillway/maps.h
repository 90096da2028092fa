/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The maps, all pinned by name, so that programs of all objects, and of the next version, share them.
 *
 * Plain maps hold what is configured: an insert that does not fit fails and is told, nothing is evicted. Only what
 * packets and clients make (affinity, conntrack, nat) is LRU. Sizes are defaults; the agent's settings have others.
 */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "types.h"

#define PINNED_MAP(name, kind, key_type, value_type, entries, ...) \
	struct {                                                   \
		__uint(type, kind);                                \
		__uint(max_entries, entries);                      \
		__uint(pinning, LIBBPF_PIN_BY_NAME);               \
		__type(key, key_type);                             \
		__type(value, value_type);                         \
		__VA_ARGS__                                        \
	} name SEC(".maps")

/* Who serves an address:port. */
PINNED_MAP(frontends, BPF_MAP_TYPE_HASH, struct frontend_key, struct frontend, 65536,
	   __uint(map_flags, BPF_F_NO_PREALLOC););

/* Indices of `backends`: the list or the Maglev table of every pool of backends, one after the other. */
PINNED_MAP(choices, BPF_MAP_TYPE_ARRAY, __u32, __u32, 262144, );

/* Row 0 is nobody's. */
PINNED_MAP(backends, BPF_MAP_TYPE_ARRAY, __u32, struct backend, 65536, );

/* Which backend a client has by ClientIP affinity. */
PINNED_MAP(affinity, BPF_MAP_TYPE_LRU_HASH, struct affinity_key, struct affinity, 65536, );

/* Which sources a guarded service serves. */
PINNED_MAP(source_ranges, BPF_MAP_TYPE_LPM_TRIE, struct source_range_key, __u8, 16384,
	   __uint(map_flags, BPF_F_NO_PREALLOC););

/* Whose network namespace a cookie is. */
PINNED_MAP(clients, BPF_MAP_TYPE_HASH, __u64, struct client, 4096, );

/* Row 0 only. */
PINNED_MAP(settings, BPF_MAP_TYPE_ARRAY, __u32, struct settings, 1, );

/* What a connected socket's peer was before; dies with the socket. */
PINNED_MAP(socket_peer, BPF_MAP_TYPE_SK_STORAGE, int, struct translation, 0,
	   __uint(map_flags, BPF_F_NO_PREALLOC););

/* The same of an unconnected one, which may have several. */
PINNED_MAP(socket_datagrams, BPF_MAP_TYPE_SK_STORAGE, int, struct datagram_peers, 0,
	   __uint(map_flags, BPF_F_NO_PREALLOC););

/* Flows of packets, two rows each: see struct conntrack. */
PINNED_MAP(conntrack, BPF_MAP_TYPE_LRU_HASH, struct tuple, struct conntrack, 131072, );

/* Source ports towards backends elsewhere, two rows each: see struct nat. */
PINNED_MAP(nat, BPF_MAP_TYPE_LRU_HASH, struct tuple, struct nat, 131072, );

/* Devices that pods are behind, by ifindex. */
PINNED_MAP(devices, BPF_MAP_TYPE_HASH, __u32, struct device, 1024, );

/* Drops by their reason. */
PINNED_MAP(drops, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, 256, );

/* See enum counter. */
PINNED_MAP(counters, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, COUNTERS, );

/* Drops one by one, for who listens; those that find it full are counted only. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");
