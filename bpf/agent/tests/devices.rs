//! Devices of a real network namespace.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

#[path = "datapath/world.rs"]
mod world;

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use spillway_node::devices::{Device, DeviceView, Devices, Kind, Role, Rules, Way};
use tokio::runtime::{Builder, Runtime};
use world::{enter, run};

/// A process in a network namespace of its own, as a pod is. Ended when dropped.
struct Pod(Child);

impl Pod {
    fn start() -> Self {
        let child = Command::new("unshare").args(["--net", "sleep", "60"]).spawn().unwrap();
        let pod = Self(child);
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let path = format!("/proc/{}/ns/net", pod.0.id());
        while std::fs::read_link(&path).unwrap() == own {
            std::thread::sleep(Duration::from_millis(5));
        }
        pod
    }

    fn veth(&self, name: &str) {
        run(&format!("ip link add {name} type veth peer name eth0 netns {}", self.0.id()));
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn find<'a>(view: &'a DeviceView, name: &str) -> &'a Device {
    view.devices.iter().find(|device| device.device.name == name).expect(name)
}

#[test]
fn devices_of_a_node_get_their_roles_and_ways() {
    if !enter("devices_of_a_node_get_their_roles_and_ways") {
        return;
    }
    let pod = Pod::start();
    run("ip link set lo up");
    run("ip link add uplink type veth peer name wire");
    run("ip addr add 192.0.2.10/24 dev uplink");
    run("ip addr add 2001:db8::10/64 dev uplink nodad");
    run("ip link set uplink up");
    run("ip link set wire up");
    run("ip route add default via 192.0.2.1");
    run("ip link add vxlan7 type vxlan id 7 dstport 4789 local 192.0.2.10");
    run("ip link add cni0 type bridge");
    pod.veth("veth1");
    let bridged = Pod::start();
    bridged.veth("veth2");
    run("ip link set veth2 master cni0");
    run("ip link add br9 type bridge");

    let view = runtime().block_on(async {
        let devices = Devices::start(Rules::default()).unwrap();
        devices.view().borrow().clone()
    });
    let is = |name, kind, role, way| {
        let device = find(&view, name);
        assert_eq!((&device.kind, device.role, device.way), (&kind, role, way), "{name}");
    };
    is("lo", Kind::Loopback, None, None);
    is("uplink", Kind::Veth, Some(Role::Netdev), None);
    is("wire", Kind::Veth, None, None);
    is("vxlan7", Kind::Vxlan, None, None);
    is("veth1", Kind::Veth, Some(Role::Pod), Some(Way::Peer));
    is("veth2", Kind::Veth, Some(Role::Pod), None);
    is("cni0", Kind::Bridge, None, Some(Way::Neighbor));
    is("br9", Kind::Bridge, None, None);
    let global: Vec<_> = view
        .addresses
        .iter()
        .filter(|address| address.is_global)
        .map(|address| address.address.to_string())
        .collect();
    assert!(global.contains(&"192.0.2.10".to_owned()), "{global:?}");
    assert!(global.contains(&"2001:db8::10".to_owned()), "{global:?}");
    let listed = view.addresses.iter().find(|address| address.address.is_loopback()).unwrap();
    assert!(!listed.is_global);
}

#[test]
fn a_pod_that_comes_or_goes_is_seen_within_100_ms() {
    if !enter("a_pod_that_comes_or_goes_is_seen_within_100_ms") {
        return;
    }
    let pod = Pod::start();
    runtime().block_on(async {
        let devices = Devices::start(Rules::default()).unwrap();
        let mut view = devices.view();
        let is_there = |view: &DeviceView| {
            view.devices.iter().any(|d| d.device.name == "veth1" && d.role == Some(Role::Pod))
        };
        for turn in 0..5 {
            for (want, change) in [(true, "add"), (false, "del")] {
                match change {
                    "add" => pod.veth("veth1"),
                    _ => run("ip link del veth1"),
                }
                let done = Instant::now();
                view.wait_for(|view| is_there(view) == want).await.unwrap();
                let took = done.elapsed();
                assert!(took < Duration::from_millis(100), "turn {turn}, {change}: {took:?}");
            }
        }
    });
}

#[test]
fn the_view_changes_only_when_something_did_and_follows_the_nodes_addresses() {
    if !enter("the_view_changes_only_when_something_did_and_follows_the_nodes_addresses") {
        return;
    }
    run("ip link add eth7 type veth peer name wire");
    run("ip link set eth7 up");
    run("ip addr add 198.51.100.10/24 dev eth7");
    runtime().block_on(async {
        let devices = Devices::start(Rules::default()).unwrap();
        let mut view = devices.view();
        assert_eq!(find(&view.borrow_and_update(), "eth7").role, None);
        // News of a change that matters to nobody.
        run("ip link set wire mtu 1400");
        let quiet = tokio::time::timeout(Duration::from_millis(200), view.changed()).await;
        assert!(quiet.is_err(), "woken for nothing");

        devices.set_node_addresses(&["198.51.100.10".parse().unwrap()]);
        let is_netdev =
            |view: &std::sync::Arc<DeviceView>| find(view, "eth7").role == Some(Role::Netdev);
        view.wait_for(is_netdev).await.unwrap();
        run("ip addr del 198.51.100.10/24 dev eth7");
        view.wait_for(|view| !is_netdev(view)).await.unwrap();
    });
}

#[test]
fn a_storm_of_news_ends_with_the_truth() {
    if !enter("a_storm_of_news_ends_with_the_truth") {
        return;
    }
    runtime().block_on(async {
        let devices = Devices::start(Rules::default()).unwrap();
        let mut view = devices.view();
        let pairs = (0..150).map(|i| format!("link add v{i} type veth peer name w{i}"));
        let batch = pairs.collect::<Vec<_>>().join("\n");
        let file = std::env::temp_dir().join(format!("sw-storm-{}", std::process::id()));
        std::fs::write(&file, batch).unwrap();
        run(&format!("ip -batch {}", file.display()));
        std::fs::remove_file(&file).unwrap();
        let all = view.wait_for(|view| view.devices.len() == 301);
        tokio::time::timeout(Duration::from_secs(5), all).await.unwrap().unwrap();
    });
}
