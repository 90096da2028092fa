/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Which backend: the same for sockets and for packets. */
#pragma once

#include "address.h"
#include "maps.h"
#include "siphash.h"

static __always_inline const struct settings *node_settings(void)
{
	__u32 row = 0;
	return bpf_map_lookup_elem(&settings, &row);
}

static __always_inline struct frontend *frontend_find(const struct address *address, __be16 port, __u8 protocol, __u8 scope)
{
	struct frontend_key key = { .address = *address, .port = port, .protocol = protocol, .scope = scope };
	return bpf_map_lookup_elem(&frontends, &key);
}

/* Whether the address is one of the cluster's service addresses, though nobody's frontend. */
static __always_inline int is_unowned_service_address(const struct settings *node, const struct address *address)
{
	if (!(node->flags & SETTINGS_REFUSE_UNOWNED))
		return 0;
	for (__u32 at = 0; at < SERVICE_PREFIXES; at++)
		if (at < node->service_prefixes && address_within(address, &node->service_prefix[at]))
			return 1;
	return 0;
}

/* Of a guarded frontend: whether the client is inside its service's source ranges. */
static __always_inline int source_is_allowed(__u32 service, const struct address *client)
{
	struct source_range_key key = { .prefix_bits = 32 + 128, .service = service, .source = *client };
	return bpf_map_lookup_elem(&source_ranges, &key) != 0;
}

/* The backend at `index`, if it (still) belongs to the service. */
static __always_inline struct backend *backend_of(__u32 index, __u32 service)
{
	struct backend *backend = bpf_map_lookup_elem(&backends, &index);
	if (!backend || backend->state == BACKEND_FREE || backend->service != service)
		return 0;
	return backend;
}

/* Whether a client that had the backend may have it again by this frontend. */
static __always_inline int backend_may_stay(const struct frontend *frontend, const struct backend *backend)
{
	if ((frontend->flags & FRONTEND_LOCAL) && !(backend->flags & BACKEND_LOCAL))
		return 0;
	return backend->state == BACKEND_ACTIVE || (frontend->flags & FRONTEND_TERMINATING);
}

/* Picks a backend. `hash` stands for the flow in a Maglev table; without one it is not looked at. `client` is asked for
 * only when the service has affinity. Returns 0 when there is none; else `*index` is its row.
 */
static __always_inline struct backend *backend_pick(const struct frontend *frontend, const struct address *client, __u64 hash,
						    __u32 *index)
{
	struct affinity_key key = { .client = *client, .service = frontend->service };
	__u64 now = 0;

	if (frontend->count == 0)
		return 0;
	if (frontend->affinity_s) {
		now = bpf_ktime_get_ns();
		struct affinity *had = bpf_map_lookup_elem(&affinity, &key);
		if (had && now - had->last_used_ns < (__u64)frontend->affinity_s * 1000000000ULL) {
			struct backend *backend = backend_of(had->backend, frontend->service);
			if (backend && backend_may_stay(frontend, backend)) {
				had->last_used_ns = now;
				*index = had->backend;
				return backend;
			}
		}
		/* The same that an appliance in front of the cluster would choose for this client. */
		hash = client_hash(client);
	} else if (!(frontend->flags & FRONTEND_MAGLEV)) {
		hash = bpf_get_prandom_u32();
	}
	__u32 place = frontend->first + (__u32)(hash % frontend->count);
	__u32 *chosen = bpf_map_lookup_elem(&choices, &place);
	if (!chosen)
		return 0;
	*index = *chosen;
	struct backend *backend = backend_of(*index, frontend->service);
	if (backend && frontend->affinity_s) {
		struct affinity row = { .last_used_ns = now, .backend = *index };
		bpf_map_update_elem(&affinity, &key, &row, BPF_ANY);
	}
	return backend;
}
