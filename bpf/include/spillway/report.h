/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Counters and drops. */
#pragma once

#include "drop_reason.h"
#include "maps.h"

static __always_inline void count(__u32 which)
{
	__u64 *counter = bpf_map_lookup_elem(&counters, &which);
	if (counter)
		*counter += 1;
}

/* Every drop increments one reason; the monitor gets its ends too, if it keeps up. */
static __always_inline void report_drop(enum spillway_drop_reason reason, enum program program, const struct tuple *tuple,
					__u32 ifindex)
{
	__u32 row = reason;
	__u64 *drops_so_far = bpf_map_lookup_elem(&drops, &row);
	if (drops_so_far)
		*drops_so_far += 1;
	struct drop_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return;
	event->at_ns = bpf_ktime_get_ns();
	event->tuple = *tuple;
	event->ifindex = ifindex;
	event->reason = reason;
	event->program = program;
	event->pad = 0;
	bpf_ringbuf_submit(event, 0);
}
