/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* One type for both families. */
#pragma once

#include <bpf/bpf_endian.h>

#include "types.h"

static __always_inline struct address address_v4(__be32 v4)
{
	return (struct address){ { 0, 0, bpf_htonl(0xffff), v4 } };
}

static __always_inline int address_is_v4(const struct address *it)
{
	return it->word[0] == 0 && it->word[1] == 0 && it->word[2] == bpf_htonl(0xffff);
}

static __always_inline int address_equal(const struct address *a, const struct address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] && a->word[3] == b->word[3];
}

static __always_inline int address_within(const struct address *it, const struct prefix *prefix)
{
	for (int at = 0; at < 4; at++)
		if ((it->word[at] & prefix->mask.word[at]) != prefix->address.word[at])
			return 0;
	return 1;
}
