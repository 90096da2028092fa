/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What becomes of a packet: a verdict of tc, or a reason to drop it. */
#pragma once

#include <linux/pkt_cls.h>

#include "report.h"

/* The packet goes on to the next program of the device, and then to the stack: TCX_NEXT, and for clsact the next filter.
 * TC_ACT_OK would keep other people's programs from seeing it.
 */
#define NEXT TC_ACT_UNSPEC

/* Beyond all verdicts of tc. */
#define DROP(reason) (256 + (reason))

static __always_inline int verdict_is_drop(int verdict)
{
	return verdict > 256;
}

/* Tells of a drop and gives tc its verdict. */
static __always_inline int verdict_report(struct __sk_buff *skb, const struct tuple *tuple, int verdict, enum program program)
{
	if (!verdict_is_drop(verdict))
		return verdict;
	report_drop(verdict - 256, program, tuple, skb->ifindex);
	return TC_ACT_SHOT;
}
