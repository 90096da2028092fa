/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the programs and the agent both read and write. Every struct is mirrored in bpf/agent/src/layout.rs, and a test
 * compares the two by BTF. A change of any of them is a change of the pinned layout: see LAYOUT_VERSION there.
 */
#pragma once

#include <linux/types.h>

/* IPv4 as ::ffff:a.b.c.d, so that both families are one row, one lookup and one way through the programs. */
struct address {
	__be32 word[4];
};

/* Who asks. The same frontend may have other backends for clients of this node than for packets that come in by a
 * device (externalTrafficPolicy), or none at all (a ClusterIP is not served to the outside).
 */
enum scope {
	SCOPE_INTERNAL = 0,
	SCOPE_EXTERNAL = 1,
};

struct frontend_key {
	struct address address;
	__be16 port;
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 scope;
};

/* Numbers of `ServiceKind`. */
enum kind {
	KIND_CLUSTER_IP = 0,
	KIND_NODE_PORT = 1,
	KIND_LOAD_BALANCER = 2,
	KIND_EXTERNAL_IP = 3,
};

enum frontend_flags {
	/* The choices are a Maglev table; without it, a plain list to draw from. */
	FRONTEND_MAGLEV = 1 << 0,
	/* Clients must be in `source_ranges` of the service. */
	FRONTEND_GUARDED = 1 << 1,
	/* The choices hold backends that terminate, for there are no others (KEP-1669). */
	FRONTEND_TERMINATING = 1 << 2,
	/* The choices hold backends of this node only. */
	FRONTEND_LOCAL = 1 << 3,
	/* Only sockets of the host's own network namespace mean this one: a loopback address. */
	FRONTEND_HOST_ONLY = 1 << 4,
	/* The service has backends, though none for this frontend: silence, not a refusal (kube-proxy's DROP). */
	FRONTEND_ELSEWHERE = 1 << 5,
};

struct frontend {
	__u32 id;	  /* of the frontend: what `service list` shows */
	__u32 service;	  /* of the port of the Service, in one family; never 0 */
	__u32 first;	  /* in `choices` */
	__u32 count;	  /* of choices; 0: no backend */
	__u32 affinity_s; /* timeout of ClientIP affinity in seconds; 0: none */
	__u16 flags;	  /* enum frontend_flags */
	__u8 kind;	  /* enum kind */
	__u8 pad;
};

enum backend_state {
	BACKEND_FREE = 0, /* no backend */
	BACKEND_ACTIVE = 1,
	BACKEND_TERMINATING = 2, /* keeps what it has; gets new flows only by FRONTEND_TERMINATING */
};

enum backend_flags {
	BACKEND_LOCAL = 1 << 0, /* on this node */
};

/* One row of the array `backends`. A row that is given up rests before another backend gets it. */
struct backend {
	struct address address;
	__be16 port;
	__u8 state; /* enum backend_state */
	__u8 flags; /* enum backend_flags */
	__u32 service;
	__u64 pad;
};

/* What a service's address was turned into for one socket, so that it can be turned back. */
struct translation {
	struct address frontend;
	struct address backend_address;
	__be16 frontend_port;
	__be16 backend_port;
	__u32 backend; /* in `backends` */
	__u32 service;
	__u32 pad;
};

/* Peers of one unconnected UDP socket that are remembered at the same time. */
#define DATAGRAM_PEERS 8

struct datagram_peers {
	struct translation peer[DATAGRAM_PEERS];
	__u32 next; /* the place that the next peer takes */
	__u32 pad;
};

struct affinity_key {
	struct address client;
	__u32 service;
	__u32 pad;
};

struct affinity {
	__u64 last_used_ns; /* CLOCK_MONOTONIC */
	__u32 backend;	    /* in `backends` */
	__u32 pad;
};

/* Key of the trie `source_ranges`: prefix_bits counts the 32 of `service` too. */
struct source_range_key {
	__u32 prefix_bits;
	__u32 service;
	struct address source;
};

/* Addresses of a network namespace, found by the agent: whom its sockets are for ClientIP affinity. */
struct client {
	struct address ipv4;
	struct address ipv6;
};

/* A packet's ends, as on the wire. */
struct tuple {
	struct address source;
	struct address destination;
	__be16 source_port; /* of ICMP echo: the identifier, in both */
	__be16 destination_port;
	__u8 protocol;
	__u8 direction; /* enum direction */
	__u16 pad;
};

enum direction {
	DIRECTION_ORIGINAL = 0,
	DIRECTION_REPLY = 1,
};

enum conntrack_flags {
	CONNTRACK_SEEN_REPLY = 1 << 0,
	CONNTRACK_CLOSING = 1 << 1,  /* FIN of the side that sends this row's packets */
	CONNTRACK_CLOSED = 1 << 2,   /* FIN of both sides, or RST */
	CONNTRACK_EAST_WEST = 1 << 3, /* opened by a pod of this node; undone where it comes back to the pod */
	CONNTRACK_SNAT = 1 << 4,     /* the backend is elsewhere: `nat` has the port */
	CONNTRACK_PASS = 1 << 5,     /* delivered by the host's stack; undone at the device it leaves by */
};

/* Original (client -> frontend): `address:port` is the backend. Reply (backend -> client): it is the frontend. */
struct conntrack {
	__u64 last_seen_ns;
	struct address address;
	__be16 port;
	__u16 flags; /* enum conntrack_flags */
	__u32 service;
	__u32 backend; /* in `backends` */
	__u32 frontend; /* id of the frontend */
	__u64 packets;
	__u64 bytes;
};

/* Original (client -> backend): `address:port` is the node's, as lent. Reply (backend -> node): it is the client's. */
struct nat {
	__u64 last_seen_ns;
	struct address address;
	__be16 port;
	__u16 pad[3];
};

/* How a packet gets to a pod of this node. */
enum way {
	WAY_PASS = 0,	  /* by the host's stack */
	WAY_PEER = 1,	  /* bpf_redirect_peer: into the pod's end of a veth pair */
	WAY_NEIGHBOR = 2, /* bpf_redirect_neigh: out of the device, such as a bridge of pods */
};

/* A device of this node that pods are behind, by ifindex. */
struct device {
	__u8 way; /* enum way */
	__u8 pad[7];
};

struct prefix {
	struct address address;
	struct address mask;
};

#define SERVICE_PREFIXES 4

enum settings_flags {
	/* Addresses of the service prefixes that no frontend has are refused. */
	SETTINGS_REFUSE_UNOWNED = 1 << 0,
	/* NodePorts of this node cannot be bound by others. */
	SETTINGS_GUARD_NODE_PORTS = 1 << 1,
};

struct settings {
	struct address node_ipv4; /* source of what goes to backends elsewhere; zero: none */
	struct address node_ipv6;
	__u64 host_netns; /* cookie of the network namespace that the node's addresses are in */
	__u16 snat_port_min;
	__u16 snat_port_max;
	__u16 node_port_min;
	__u16 node_port_max;
	__u32 flags;		 /* enum settings_flags */
	__u32 service_prefixes; /* how many of the next are set */
	struct prefix service_prefix[SERVICE_PREFIXES];
};

/* Places of the array `counters`. */
enum counter {
	COUNTER_CONNECT = 0,	  /* connect() to a service, translated */
	COUNTER_CONNECT_REFUSED,  /* ... refused */
	COUNTER_SEND,		  /* datagrams of unconnected sockets, translated */
	COUNTER_SEND_REFUSED,
	COUNTER_SEND_RESELECTED,  /* ... whose backend had gone */
	COUNTER_RECEIVE,	  /* datagrams whose source was turned back */
	COUNTER_PEER_NAME,	  /* getpeername() turned back */
	COUNTER_BIND_REFUSED,	  /* bind() to a NodePort */
	COUNTER_FLOWS_NEW,	  /* flows opened by packets */
	COUNTER_FORWARD,	  /* packets towards backends */
	COUNTER_REPLY,		  /* packets towards clients */
	COUNTER_CONNTRACK_FAILED, /* rows that could not be written */
	COUNTER_NAT_RETRIES,	  /* SNAT ports that were taken when asked for */
	COUNTERS,
};

/* Which program speaks. */
enum program {
	PROGRAM_SOCKET = 0,
	PROGRAM_FROM_NETDEV = 1,
	PROGRAM_TO_NETDEV = 2,
	PROGRAM_FROM_CONTAINER = 3,
	PROGRAM_TO_CONTAINER = 4,
};

/* One drop, for the monitor. */
struct drop_event {
	__u64 at_ns;
	struct tuple tuple;
	__u32 ifindex;
	__u16 reason; /* enum spillway_drop_reason */
	__u8 program; /* enum program */
	__u8 pad;
};

_Static_assert(sizeof(struct frontend_key) == 20, "mirrored by layout::FrontendKey");
_Static_assert(sizeof(struct frontend) == 24, "mirrored by layout::Frontend");
_Static_assert(sizeof(struct backend) == 32, "mirrored by layout::Backend");
_Static_assert(sizeof(struct translation) == 48, "mirrored by layout::Translation");
_Static_assert(sizeof(struct datagram_peers) == 392, "mirrored by layout::DatagramPeers");
_Static_assert(sizeof(struct affinity_key) == 24, "mirrored by layout::AffinityKey");
_Static_assert(sizeof(struct affinity) == 16, "mirrored by layout::Affinity");
_Static_assert(sizeof(struct source_range_key) == 24, "mirrored by layout::SourceRangeKey");
_Static_assert(sizeof(struct client) == 32, "mirrored by layout::Client");
_Static_assert(sizeof(struct tuple) == 40, "mirrored by layout::Tuple");
_Static_assert(sizeof(struct conntrack) == 56, "mirrored by layout::Conntrack");
_Static_assert(sizeof(struct nat) == 32, "mirrored by layout::Nat");
_Static_assert(sizeof(struct device) == 8, "mirrored by layout::Device");
_Static_assert(sizeof(struct settings) == 184, "mirrored by layout::Settings");
_Static_assert(sizeof(struct drop_event) == 56, "mirrored by layout::DropEvent");
