# shellcheck shell=bash
# Sourced by the scripts beside it: takes a bare Debian 12 to the point where cargo can do the rest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PACKAGES=(
    build-essential ca-certificates      # a linker for Rust, a C compiler for DPDK's inline functions; TLS for crates
    pkg-config libdpdk-dev dpdk-dev      # DPDK 22.11; dpdk-testpmd
    clang libclang-dev libbpf-dev        # bindgen; the BPF programs
    iproute2 nftables ethtool procps util-linux # the lab: namespaces, NodePorts, offloads, sysctl, unshare
    bpftool tcpdump qemu-system-x86 busybox-static # what is in the kernel, what is on a wire; another kernel
    curl bind9-dnsutils python3-venv $(command -v kubectl >/dev/null || echo kubernetes-client) # real clients; one kubectl will do
)
HUGEPAGES_FREE_MIN=512 # of 2 MiB each

say() { printf '==> %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi; }

install_packages() {
    local package missing=()
    for package in "${PACKAGES[@]}"; do
        dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
    done
    [ "${#missing[@]}" = 0 ] && return
    say "apt-get install ${missing[*]}"
    as_root apt-get -q update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
}

require_rust() {
    local channel
    channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    command -v cargo >/dev/null || die "cargo is missing: install Rust $channel, see https://rustup.rs"
    cargo --version >&2 || die "Rust $channel is missing: rustup toolchain install $channel"
}

reserve_hugepages() {
    local free total # another checkout may use some, so it is the free ones that count
    free=$(awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo) total=$(cat /proc/sys/vm/nr_hugepages 2>/dev/null || echo 0)
    if [ "${free:-0}" -lt "$HUGEPAGES_FREE_MIN" ]; then
        total=$((total + HUGEPAGES_FREE_MIN - ${free:-0}))
        say "sysctl vm.nr_hugepages=$total"
        as_root sysctl -q -w "vm.nr_hugepages=$total" ||
            say "not permitted; the box will use ordinary memory where hugepages do not suffice"
    fi
    grep -q ' hugetlbfs ' /proc/mounts || as_root sh -c 'mkdir -p /dev/hugepages && mount -t hugetlbfs nodev /dev/hugepages' ||
        say "cannot mount a hugetlbfs; the box will use ordinary memory"
}

prepare() { install_packages; require_rust; reserve_hugepages; }

# Builds as whoever called us, then runs an xtask as root: labs need network namespaces.
run_task() {
    say "cargo build (the first time takes some minutes)"
    cargo build --locked --workspace --bins # what scripts/test builds too: one set of features, built once
    local root=(); [ "$(id -u)" = 0 ] || root=(sudo --)
    exec "${root[@]}" env SPILLWAY_PREBUILT=yes "${CARGO_TARGET_DIR:-target}/debug/xtask" "$@"
}
