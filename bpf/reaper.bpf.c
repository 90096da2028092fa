// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Which sockets of a network namespace came by a service, and by which: what `socket_peer` says, for the agent to read when
 * a backend vanished (bpf/agent/src/reaper.rs).
 *
 * sock_diag tells rows of socket storage for TCP only (inet_sk_diag_fill leaves early for sockets without a
 * inet_connection_sock), so iterators do. They need the kernel's BTF and 5.12: sk_storage in iterators is 5.11,
 * bpf_get_socket_cookie in them 5.12. Their context is the same in all kernels, so nothing is relocated.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "spillway/types.h"

/* As in maps.h, whose other maps are not needed here. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(max_entries, 0);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, int);
	__type(value, struct translation);
} socket_peer SEC(".maps");

struct seq_file;

struct bpf_iter_meta {
	__bpf_md_ptr(struct seq_file *, seq);
};

struct bpf_iter__udp {
	__bpf_md_ptr(struct bpf_iter_meta *, meta);
	__bpf_md_ptr(void *, socket);
};

struct bpf_iter__tcp {
	__bpf_md_ptr(struct bpf_iter_meta *, meta);
	__bpf_md_ptr(void *, socket);
};

/* What the agent reads, one after the other. */
struct socket_row {
	__u64 cookie; /* the one that sock_diag tells */
	struct translation translation;
};

_Static_assert(sizeof(struct socket_row) == 56, "read by reaper::rows");

static __always_inline void tell(struct seq_file *seq, void *socket)
{
	const struct translation *translation = bpf_sk_storage_get(&socket_peer, socket, 0, 0);
	if (!translation)
		return;
	struct socket_row row = { .cookie = bpf_get_socket_cookie(socket), .translation = *translation };
	bpf_seq_write(seq, &row, sizeof(row));
}

SEC("iter/udp")
int udp_rows(struct bpf_iter__udp *ctx)
{
	if (ctx->socket)
		tell(ctx->meta->seq, ctx->socket);
	return 0;
}

SEC("iter/tcp")
int tcp_rows(struct bpf_iter__tcp *ctx)
{
	if (ctx->socket)
		tell(ctx->meta->seq, ctx->socket);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
