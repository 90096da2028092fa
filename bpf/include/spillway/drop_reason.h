/* SPDX-License-Identifier: Apache-2.0 */
/* Why a packet was dropped. Generated from appliance/lb/src/verdict.rs; to write it anew:
 * SPILLWAY_WRITE=1 cargo test -p spillway-lb --test drop_reason_header */
#pragma once

enum spillway_drop_reason {
	/* The frame ends before its headers do. */
	SPILLWAY_DROP_TRUNCATED = 1,
	/* The EtherType is none that the box serves. */
	SPILLWAY_DROP_UNKNOWN_ETHERTYPE = 2,
	/* IPv6 is not served yet. */
	SPILLWAY_DROP_IPV6 = 3,
	/* The 802.1Q tag is not the port's. */
	SPILLWAY_DROP_VLAN_MISMATCH = 4,
	/* The destination MAC is not the port's. */
	SPILLWAY_DROP_NOT_OUR_MAC = 5,
	/* The IP version is not 4. */
	SPILLWAY_DROP_BAD_IP_VERSION = 6,
	/* The IP header length is below 20 bytes or beyond the packet. */
	SPILLWAY_DROP_BAD_IP_HEADER_LENGTH = 7,
	/* The IP total length is shorter than its header or longer than the frame. */
	SPILLWAY_DROP_BAD_IP_TOTAL_LENGTH = 8,
	/* The IP header checksum is wrong. */
	SPILLWAY_DROP_BAD_IP_CHECKSUM = 9,
	/* The time to live ran out. */
	SPILLWAY_DROP_TTL_EXPIRED = 10,
	/* IP options are present. */
	SPILLWAY_DROP_IP_OPTIONS = 11,
	/* The packet is a fragment. */
	SPILLWAY_DROP_FRAGMENT = 12,
	/* The transport protocol is none that the box serves. */
	SPILLWAY_DROP_UNKNOWN_PROTOCOL = 13,
	/* The TCP header is shorter than 20 bytes or longer than the packet. */
	SPILLWAY_DROP_BAD_TCP_HEADER = 14,
	/* The TCP flags contradict each other. */
	SPILLWAY_DROP_BAD_TCP_FLAGS = 15,
	/* The UDP length is below 8 or beyond the packet. */
	SPILLWAY_DROP_BAD_UDP_LENGTH = 16,
	/* A port number is zero. */
	SPILLWAY_DROP_ZERO_PORT = 17,
	/* The ICMP message is cut short. */
	SPILLWAY_DROP_BAD_ICMP = 18,
	/* The ICMP message is not an echo request. */
	SPILLWAY_DROP_ICMP_NOT_SERVED = 19,
	/* The ARP message is malformed. */
	SPILLWAY_DROP_BAD_ARP = 20,
	/* The source can be nobody's: loopback, multicast, broadcast, zero, or equal to the destination. */
	SPILLWAY_DROP_BOGON_SOURCE = 21,
	/* The source is one of the box's own addresses. */
	SPILLWAY_DROP_OWN_SOURCE = 22,
	/* The destination is not an address of the box; nothing is routed. */
	SPILLWAY_DROP_NOT_OURS = 23,
	/* No frontend has this port of this address. */
	SPILLWAY_DROP_UNLISTED_PORT = 24,
	/* A packet to a SNAT port that is lent to no flow of this backend. */
	SPILLWAY_DROP_NO_FLOW = 25,
	/* A TCP packet of no known flow that does not open one. */
	SPILLWAY_DROP_NOT_SYN = 26,
	/* No backend of the Service takes new flows. */
	SPILLWAY_DROP_NO_BACKEND = 27,
	/* Every SNAT port towards this backend is lent. */
	SPILLWAY_DROP_SNAT_PORTS_EXHAUSTED = 28,
	/* More backends have flows at once than `snat_backends_max` allows. */
	SPILLWAY_DROP_SNAT_BACKENDS_FULL = 29,
	/* The flow table holds `flows_max` flows. */
	SPILLWAY_DROP_CONNTRACK_FULL = 30,
	/* The flow table has no free place within the probe limit. */
	SPILLWAY_DROP_CONNTRACK_CROWDED = 31,
	/* Neither on a port's link nor behind a gateway. */
	SPILLWAY_DROP_NO_ROUTE = 32,
	/* The next hop does not answer ARP, or too many frames wait for it. */
	SPILLWAY_DROP_NEIGHBOR_UNRESOLVED = 33,
	/* The owner's hand-over ring is full. */
	SPILLWAY_DROP_HAND_OVER_FULL = 34,
	/* The ring to the host stack is full. */
	SPILLWAY_DROP_LOCAL_FULL = 35,
	/* The port's transmit queue is full. */
	SPILLWAY_DROP_TRANSMIT_FULL = 36,
	/* The buffer has no room for a VLAN tag or an answer. */
	SPILLWAY_DROP_NO_ROOM = 37,
	/* The frame spans several buffers. */
	SPILLWAY_DROP_NOT_CONTIGUOUS = 38,
	/* More than one VLAN tag. */
	SPILLWAY_DROP_DOUBLE_TAG = 39,
	/* The source MAC is a group address or zero. */
	SPILLWAY_DROP_BAD_SOURCE_MAC = 40,
	/* The reserved IP flag is set. */
	SPILLWAY_DROP_BAD_IP_FLAGS = 41,
	/* An impossible fragment: empty, torn or beyond 65,535 bytes. */
	SPILLWAY_DROP_BAD_FRAGMENT = 42,
	/* A health check's answer that no outstanding check asked for, or a frame the host stack refused. */
	SPILLWAY_DROP_HOST_REFUSED = 43,
	/* The client is outside the source ranges of the Service. */
	SPILLWAY_DROP_SOURCE_RANGE = 44,
	/* The kernel could not rewrite the packet on a node: no memory, as a rule. */
	SPILLWAY_DROP_REWRITE_FAILED = 45,
	/* On a node: the same client and port has a living flow to the same backend by another frontend. */
	SPILLWAY_DROP_FLOW_COLLISION = 46,
	/* The backend is on another node, and this one has no address of that family to send from. */
	SPILLWAY_DROP_NO_SNAT_ADDRESS = 47,
	/* The packet is larger than the device towards its destination takes. */
	SPILLWAY_DROP_PACKET_TOO_BIG = 48,
};
