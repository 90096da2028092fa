//! Finds the installed libdpdk, writes the bindings and compiles the wrappers of its inline functions.

use std::env;
use std::error::Error;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const VERSION_MIN: &str = "22.11";
/// The next release with another ABI: the mirror of `rte_mbuf` was checked against 22.11 only.
const VERSION_BELOW: &str = "23";

/// Linked always. Drivers are not on the list: EAL loads them from DPDK's plug-in directory.
const LIBRARIES: &[&str] =
    &["rte_ethdev", "rte_net", "rte_mbuf", "rte_mempool", "rte_ring", "rte_eal", "rte_kvargs"];

const FUNCTIONS: &[&str] = &[
    // Start and stop
    "rte_eal_init",
    "rte_eal_cleanup",
    "rte_eal_hotplug_add",
    "rte_version",
    "rte_log_set_level_pattern",
    "rte_log_set_global_level",
    "dpdk_errno",
    "dpdk_log_to_stderr",
    "rte_eal_get_runtime_dir",
    "if_nametoindex",
    "dpdk_interface_is_running",
    // Lcores
    "rte_eal_remote_launch",
    "rte_eal_wait_lcore",
    "rte_eal_get_lcore_state",
    "rte_get_main_lcore",
    "rte_lcore_id",
    "rte_lcore_count",
    "rte_get_tsc_hz",
    // Memory
    "rte_pktmbuf_pool_create_by_ops",
    "rte_mempool_free",
    "rte_mempool_avail_count",
    "rte_pktmbuf_alloc",
    "rte_pktmbuf_alloc_bulk",
    "rte_pktmbuf_free",
    "rte_pktmbuf_free_bulk",
    // Rings
    "rte_ring_create",
    "rte_ring_free",
    "rte_ring_count",
    "rte_ring_get_capacity",
    "rte_ring_enqueue_burst",
    "rte_ring_dequeue_burst",
    // Ports
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_info_get",
    "rte_eth_dev_configure",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_get_mtu",
    "rte_eth_rx_queue_setup",
    "rte_eth_tx_queue_setup",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_dev_close",
    "rte_eth_macaddr_get",
    "rte_eth_link_get_nowait",
    "rte_eth_stats_get",
    "rte_eth_stats_reset",
    "rte_eth_promiscuous_enable",
    "rte_eth_promiscuous_disable",
    "rte_eth_promiscuous_get",
    "rte_eth_rx_burst",
    "rte_eth_tx_burst",
];

fn main() -> ExitCode {
    for file in ["build.rs", "wrapper.h"] {
        println!("cargo:rerun-if-changed={file}");
    }
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: dpdk-sys cannot be built: {error}");
            eprintln!(
                "help: on Debian 12: apt-get install --no-install-recommends \
                 build-essential pkg-config libdpdk-dev dpdk clang libclang-dev"
            );
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    // Their metadata is printed below: pkg-config names some sixty libraries, we link seven.
    let library = pkg_config::Config::new()
        .range_version(VERSION_MIN..VERSION_BELOW)
        .cargo_metadata(false)
        .probe("libdpdk")
        .map_err(|error| format!("libdpdk {VERSION_MIN} was not found by pkg-config ({error})"))?;
    let flags = compiler_flags()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let wrappers = out.join("wrappers.c");
    bindings(&flags, &wrappers)?.write_to_file(out.join("bindings.rs"))?;
    compile(&flags, &wrappers)?;
    for path in &library.link_paths {
        println!("cargo:rustc-link-search=native={}", path.display());
    }
    for name in LIBRARIES {
        println!("cargo:rustc-link-lib=dylib={name}");
    }
    Ok(())
}

/// All of libdpdk's compiler flags. The pkg-config crate keeps only `-I` and `-D`, but the inline
/// functions also need `-march` and `-include rte_config.h` to be what the library was built with.
fn compiler_flags() -> Result<Vec<String>, Box<dyn Error>> {
    let output = Command::new("pkg-config")
        .args(["--cflags", "libdpdk"])
        .output()
        .map_err(|error| format!("pkg-config cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("pkg-config: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let words = String::from_utf8(output.stdout)?;
    Ok(words.split_whitespace().map(str::to_owned).collect())
}

fn bindings(flags: &[String], wrappers: &Path) -> Result<bindgen::Bindings, Box<dyn Error>> {
    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(flags)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .wrap_static_fns(true)
        .wrap_static_fns_path(wrappers)
        .allowlist_var("DPDK_.*")
        .allowlist_type("dpdk_.*")
        .prepend_enum_name(false)
        .layout_tests(true)
        .derive_default(true)
        .generate_comments(false)
        // Packed and aligned unions that Rust cannot express: mirrored by hand in src/mbuf.rs.
        .blocklist_type("rte_mbuf")
        .raw_line("use crate::mbuf::rte_mbuf;")
        .opaque_type("rte_mempool")
        .opaque_type("rte_ring")
        .opaque_type("rte_device");
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    // A missing libclang is a panic inside clang-sys: make it the same error as the others.
    match panic::catch_unwind(panic::AssertUnwindSafe(move || builder.generate())) {
        Ok(result) => Ok(result?),
        Err(_) => Err("bindgen needs libclang, which could not be loaded".into()),
    }
}

fn compile(flags: &[String], wrappers: &Path) -> Result<(), Box<dyn Error>> {
    let manifest = env::var("CARGO_MANIFEST_DIR")?;
    let mut build = cc::Build::new();
    // Always optimised: unoptimised inline functions would make every debug run useless as a
    // data plane, and nobody steps through them.
    build.file(wrappers).include(manifest).opt_level(3).warnings(false);
    for flag in flags {
        build.flag(flag);
    }
    build.try_compile("dpdk_wrappers").map_err(|error| {
        format!("the wrappers of DPDK's inline functions do not compile: {error}").into()
    })
}
