/*
 * What dpdk-sys binds, and nothing else: build.rs allow-lists the names that it wants from here.
 *
 * DPDK's fast path is `static inline` in its headers. bindgen writes one C wrapper for each inline
 * function on the list and the build compiles them with libdpdk's own flags, so a wrapper costs one
 * call. That is why only functions that work on a whole burst, or are not on the fast path at all,
 * are on the list; the fields of an mbuf are read from Rust (see src/mbuf.rs).
 */
#ifndef SPILLWAY_DPDK_WRAPPER_H
#define SPILLWAY_DPDK_WRAPPER_H

#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_version.h>

/* rte_errno is a per-lcore variable behind a macro. */
static inline int dpdk_errno(void) { return rte_errno; }

/* DPDK copies its log to syslog unless it is given a stream; stderr is the service manager's job. */
static inline int dpdk_log_to_stderr(void) { return rte_openlog_stream(stderr); }

/*
 * Whether a kernel interface of this network namespace is up and has a carrier: 1, 0, or a negated
 * error number. The drivers on top of kernel interfaces report a link that is always up.
 */
static inline int dpdk_interface_is_running(const char *name)
{
	struct ifreq request;
	memset(&request, 0, sizeof(request));
	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_fd < 0)
		return -errno;
	int result = ioctl(socket_fd, SIOCGIFFLAGS, &request) < 0 ? -errno : 0;
	close(socket_fd);
	if (result < 0)
		return result;
	return (request.ifr_flags & IFF_UP) && (request.ifr_flags & IFF_RUNNING);
}

/*
 * Facts about struct rte_mbuf, which src/mbuf.rs mirrors: the compiler that knows the real struct
 * computes them here, and Rust refuses to build when its mirror differs.
 */
enum dpdk_mbuf_layout {
	DPDK_MBUF_SIZE = sizeof(struct rte_mbuf),
	DPDK_MBUF_ALIGN = _Alignof(struct rte_mbuf),
	DPDK_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	DPDK_MBUF_BUF_IOVA = offsetof(struct rte_mbuf, buf_iova),
	DPDK_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	DPDK_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt),
	DPDK_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	DPDK_MBUF_PORT = offsetof(struct rte_mbuf, port),
	DPDK_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	DPDK_MBUF_PACKET_TYPE = offsetof(struct rte_mbuf, packet_type),
	DPDK_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	DPDK_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	DPDK_MBUF_VLAN_TCI = offsetof(struct rte_mbuf, vlan_tci),
	DPDK_MBUF_HASH = offsetof(struct rte_mbuf, hash),
	DPDK_MBUF_HASH_SIZE = sizeof(((struct rte_mbuf *)0)->hash),
	DPDK_MBUF_VLAN_TCI_OUTER = offsetof(struct rte_mbuf, vlan_tci_outer),
	DPDK_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
	DPDK_MBUF_POOL = offsetof(struct rte_mbuf, pool),
	DPDK_MBUF_NEXT = offsetof(struct rte_mbuf, next),
	DPDK_MBUF_TX_OFFLOAD = offsetof(struct rte_mbuf, tx_offload),
	DPDK_MBUF_SHINFO = offsetof(struct rte_mbuf, shinfo),
	DPDK_MBUF_PRIV_SIZE = offsetof(struct rte_mbuf, priv_size),
	DPDK_MBUF_TIMESYNC = offsetof(struct rte_mbuf, timesync),
	DPDK_MBUF_DYNFIELD1 = offsetof(struct rte_mbuf, dynfield1),
};
_Static_assert(sizeof(struct rte_mbuf) == 128, "an mbuf header is two cache lines");

/* Where the three parts of tx_offload lie that a checksum request fills in. */
enum dpdk_tx_offload_layout {
	DPDK_TX_L2_LEN_BITS = RTE_MBUF_L2_LEN_BITS,
	DPDK_TX_L3_LEN_BITS = RTE_MBUF_L3_LEN_BITS,
	DPDK_TX_L2_LEN_SHIFT = RTE_MBUF_L2_LEN_OFS,
	DPDK_TX_L3_LEN_SHIFT = RTE_MBUF_L3_LEN_OFS,
};

/* Macros that bindgen cannot evaluate, given a type and a value. */
static const uint64_t DPDK_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;
static const uint64_t DPDK_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t DPDK_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t DPDK_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t DPDK_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;
static const uint64_t DPDK_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
static const uint64_t DPDK_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t DPDK_TX_IP_CKSUM = RTE_MBUF_F_TX_IP_CKSUM;
static const uint64_t DPDK_TX_TCP_CKSUM = RTE_MBUF_F_TX_TCP_CKSUM;
static const uint64_t DPDK_TX_UDP_CKSUM = RTE_MBUF_F_TX_UDP_CKSUM;
static const uint64_t DPDK_TX_IPV4 = RTE_MBUF_F_TX_IPV4;
static const uint64_t DPDK_TX_IPV6 = RTE_MBUF_F_TX_IPV6;
static const uint64_t DPDK_TX_OFFLOAD_MASK = RTE_MBUF_F_TX_OFFLOAD_MASK;
static const uint64_t DPDK_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPDK_RX_OFFLOAD_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t DPDK_RX_OFFLOAD_TCP_CKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t DPDK_RX_OFFLOAD_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t DPDK_RX_OFFLOAD_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t DPDK_TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPDK_TX_OFFLOAD_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
static const uint64_t DPDK_TX_OFFLOAD_TCP_CKSUM = RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
static const uint64_t DPDK_RSS_IP = RTE_ETH_RSS_IP;
static const uint64_t DPDK_RSS_TCP = RTE_ETH_RSS_TCP;
static const uint64_t DPDK_RSS_UDP = RTE_ETH_RSS_UDP;
static const int DPDK_SOCKET_ID_ANY = SOCKET_ID_ANY;
static const uint32_t DPDK_LCORE_ID_ANY = LCORE_ID_ANY;

/* Checked against capsule's own bounds. */
enum dpdk_limits {
	DPDK_LCORE_MAX = RTE_MAX_LCORE,
	DPDK_PORT_MAX = RTE_MAX_ETHPORTS,
	DPDK_HEADROOM = RTE_PKTMBUF_HEADROOM,
	DPDK_MEMPOOL_CACHE_MAX = RTE_MEMPOOL_CACHE_MAX_SIZE,
	DPDK_MEMPOOL_NAME_BYTES = RTE_MEMPOOL_NAMESIZE,
	DPDK_RING_NAME_BYTES = RTE_RING_NAMESIZE,
	DPDK_ETHER_OVERHEAD = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN,
};
enum dpdk_ring_flags {
	DPDK_RING_EXACT_SZ = RING_F_EXACT_SZ,
	DPDK_RING_SP_ENQ = RING_F_SP_ENQ,
	DPDK_RING_SC_DEQ = RING_F_SC_DEQ,
	DPDK_RING_MP_RTS_ENQ = RING_F_MP_RTS_ENQ,
	DPDK_RING_MC_RTS_DEQ = RING_F_MC_RTS_DEQ,
};

#endif
