// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Services for sockets: a connect() to a service address becomes one to a backend's, once, with nothing to do per packet.
 *
 * Attached to the root cgroup, and so inherited by every pod.
 */
#include "spillway/lb.h"
#include "spillway/report.h"

#define ALLOW 1

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return ALLOW;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
