/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Flows. A flow has two rows, each of which says all that packets of its direction need: one may be evicted, and is
 * written again by the other.
 */
#pragma once

#include "packet.h"
#include "siphash.h"
#include "verdict.h"

/* A flow that has been silent so long gives its place to another one of the same two ends by another frontend. */
#define CONNTRACK_SILENT_NS (60ULL * 1000000000ULL)

static __always_inline struct conntrack *conntrack_find(const struct tuple *key)
{
	return bpf_map_lookup_elem(&conntrack, key);
}

/* Key of the row for the answers to `sent`, which goes to the backend of `original`. */
static __always_inline struct tuple conntrack_reply_key(const struct tuple *sent, const struct conntrack *original)
{
	return (struct tuple){
		.source = original->address,
		.destination = sent->source,
		.source_port = original->port,
		.destination_port = sent->source_port,
		.protocol = sent->protocol,
		.direction = DIRECTION_REPLY,
	};
}

/* Key of the row for what `answered` answers to, which comes from the frontend of `reply`. */
static __always_inline struct tuple conntrack_original_key(const struct tuple *answered, const struct conntrack *reply)
{
	return (struct tuple){
		.source = answered->destination,
		.destination = reply->address,
		.source_port = answered->destination_port,
		.destination_port = reply->port,
		.protocol = answered->protocol,
		.direction = DIRECTION_ORIGINAL,
	};
}

/* Counts a packet, and learns from its TCP flags. A row is closing when the side that sends its packets has finished;
 * `other` may be missing.
 */
static __always_inline void conntrack_touch(struct __sk_buff *skb, const struct packet *packet, struct conntrack *row,
					    struct conntrack *other)
{
	row->last_seen_ns = bpf_ktime_get_ns();
	__sync_fetch_and_add(&row->packets, 1);
	__sync_fetch_and_add(&row->bytes, skb->len);
	if (!(packet->tcp_flags & (TCP_FIN | TCP_RST)))
		return;
	row->flags |= CONNTRACK_CLOSING;
	if ((packet->tcp_flags & TCP_RST) || (other && (other->flags & CONNTRACK_CLOSING))) {
		row->flags |= CONNTRACK_CLOSED;
		if (other)
			other->flags |= CONNTRACK_CLOSED;
	}
}

/* Writes the row for the answers to `sent`. Returns 0, or a drop. */
static __always_inline int conntrack_write_reply(const struct tuple *sent, const struct tuple *key,
						 const struct conntrack *original)
{
	struct conntrack row = {
		.last_seen_ns = bpf_ktime_get_ns(),
		.address = sent->destination,
		.port = sent->destination_port,
		.flags = original->flags & (CONNTRACK_EAST_WEST | CONNTRACK_SNAT | CONNTRACK_PASS),
		.service = original->service,
		.backend = original->backend,
		.frontend = original->frontend,
	};

	if (!bpf_map_update_elem(&conntrack, key, &row, BPF_ANY))
		return 0;
	count(COUNTER_CONNTRACK_FAILED);
	return DROP(SPILLWAY_DROP_CONNTRACK_FULL);
}

/* Whether the place of the answers belongs to a living flow by another frontend: to the backend, the two would be one. */
static __always_inline int conntrack_is_taken(const struct tuple *sent, const struct conntrack *reply)
{
	if (reply->port == sent->destination_port && address_equal(&reply->address, &sent->destination))
		return 0;
	return !(reply->flags & (CONNTRACK_CLOSING | CONNTRACK_CLOSED)) &&
	       bpf_ktime_get_ns() - reply->last_seen_ns < CONNTRACK_SILENT_NS;
}

/* Opens a flow: both rows, or neither. Returns 0, or a drop. */
static __always_inline int conntrack_open(const struct tuple *sent, const struct conntrack *original)
{
	struct tuple key = conntrack_reply_key(sent, original);
	struct conntrack *reply = conntrack_find(&key);

	if (reply && conntrack_is_taken(sent, reply))
		return DROP(SPILLWAY_DROP_FLOW_COLLISION);
	int verdict = conntrack_write_reply(sent, &key, original);
	if (verdict)
		return verdict;
	if (bpf_map_update_elem(&conntrack, sent, original, BPF_ANY)) {
		bpf_map_delete_elem(&conntrack, &key);
		count(COUNTER_CONNTRACK_FAILED);
		return DROP(SPILLWAY_DROP_CONNTRACK_FULL);
	}
	count(COUNTER_FLOWS_NEW);
	return 0;
}

/* Notes an answer in both rows; the row of the other direction is looked up only when something is new. */
static __always_inline void conntrack_touch_reply(struct __sk_buff *skb, const struct packet *packet, const struct tuple *key,
						  struct conntrack *reply)
{
	struct conntrack *original = 0;

	if (!(reply->flags & CONNTRACK_SEEN_REPLY) || (packet->tcp_flags & (TCP_FIN | TCP_RST))) {
		struct tuple original_key = conntrack_original_key(key, reply);
		original = conntrack_find(&original_key);
		reply->flags |= CONNTRACK_SEEN_REPLY;
		if (original)
			original->flags |= CONNTRACK_SEEN_REPLY;
	}
	conntrack_touch(skb, packet, reply, original);
}

/* Where in a Maglev table a flow is. The frontend's address is not in it: it is another one on every node. */
static __always_inline __u64 flow_hash(const struct tuple *tuple)
{
	struct sip s = {
		CLIENT_KEY_0 ^ 0x736f6d6570736575ULL,
		CLIENT_KEY_1 ^ 0x646f72616e646f6dULL,
		CLIENT_KEY_0 ^ 0x6c7967656e657261ULL,
		CLIENT_KEY_1 ^ 0x7465646279746573ULL,
	};
	sip_word(&s, (__u64)tuple->source.word[1] << 32 | tuple->source.word[0]);
	sip_word(&s, (__u64)tuple->source.word[3] << 32 | tuple->source.word[2]);
	sip_word(&s, 19ULL << 56 | (__u64)tuple->protocol << 16 | tuple->source_port);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
