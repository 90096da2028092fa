//! The life of the programs: attached, taken over, kept, attached again, gone.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic"
)]

#[path = "datapath/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use aya::maps::{Array, HashMap, Map, MapData, loaded_maps};
use aya::programs::tc::{NlOptions, TcAttachOptions, TcHandle};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, loaded_links, loaded_programs};
use aya_obj::generated::bpf_attach_type::BPF_CGROUP_INET4_CONNECT;
use spillway_node::datapath::{Datapath, DatapathError, TcAttach, Uninstalled, uninstall};
use spillway_node::devices::{DeviceRef, Role};
use spillway_node::layout::{BACKEND_ACTIVE, Backend, Frontend, FrontendKey, SCOPE_INTERNAL};
use spillway_node::pins::Direction;
use world::{World, at_cgroup, at_clsact, at_tcx, detach_link, enter, run, veth};

const CONNECT4: u32 = BPF_CGROUP_INET4_CONNECT as u32;
const BOTH: [TcAttach; 2] = [TcAttach::Tcx, TcAttach::Clsact];

fn frontends(world: &World) -> HashMap<MapData, FrontendKey, Frontend> {
    let map = MapData::from_pin(world.pins().map("frontends")).unwrap();
    HashMap::try_from(Map::HashMap(map)).unwrap()
}

fn key(port: u16) -> FrontendKey {
    FrontendKey { port: port.into(), ..FrontendKey::default() }
}

fn attach_all(datapath: &mut Datapath, device: &DeviceRef, role: Role) {
    datapath.attach_sockets().unwrap();
    datapath.attach_device(device, role).unwrap();
}

/// Our programs at a device, by either way of attaching.
fn at_device(device: &str, direction: Direction) -> String {
    at_tcx(device, direction).join(" ") + &at_clsact(device, direction)
}

/// How often a program of ours is at a device.
fn count(device: &str, direction: Direction, program: &str) -> usize {
    let by_tcx = at_tcx(device, direction).iter().filter(|name| *name == program).count();
    by_tcx + at_clsact(device, direction).matches(&format!("spillway-{program}")).count()
}

#[test]
fn the_next_agent_takes_over_maps_and_replaces_programs() {
    if !enter("the_next_agent_takes_over_maps_and_replaces_programs") {
        return;
    }
    for tc_attach in BOTH {
        let world = World::new();
        let device = veth("sw-a");
        let mut first = world.load(tc_attach);
        assert!(first.fresh().contains(&"frontends".to_owned()), "{:?}", first.fresh());
        assert!(first.notes()[0].starts_with("mounted a bpffs"), "{:?}", first.notes());
        let row = Frontend { id: 7, ..Frontend::default() };
        frontends(&world).insert(key(80), row, 0).unwrap();
        assert_eq!(world.at_cgroup(CONNECT4), [0_u32; 0], "load attaches nothing");
        attach_all(&mut first, &device, Role::Netdev);
        let old = world.at_cgroup(CONNECT4);
        assert_eq!(old.len(), 1);
        drop(first);
        assert_eq!(world.at_cgroup(CONNECT4), old, "the agent is gone, its programs are not");

        let mut second = world.load(tc_attach);
        assert_eq!(second.fresh(), [] as [&str; 0]);
        assert_eq!(world.at_cgroup(CONNECT4), old, "load replaces nothing");
        attach_all(&mut second, &device, Role::Netdev);
        second.settle().unwrap();
        let new = world.at_cgroup(CONNECT4);
        assert!(new.len() == 1 && new != old, "{old:?} {new:?}");
        assert_eq!(frontends(&world).get(&key(80), 0).unwrap(), row);
        for (direction, program) in
            [(Direction::Ingress, "from_netdev"), (Direction::Egress, "to_netdev")]
        {
            assert_eq!(count("sw-a", direction, program), 1, "{tc_attach:?} {direction:?}");
        }
        assert!(second.check().is_empty());
        drop(second);
        uninstall(&world.pins()).unwrap();
        run("ip link del sw-a");
    }
}

#[test]
fn what_is_pinned_is_for_root_only() {
    if !enter("what_is_pinned_is_for_root_only") {
        return;
    }
    let world = World::new();
    let _datapath = world.load(TcAttach::Auto);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let pins = world.pins();
    assert_eq!(mode(pins.root()), 0o700);
    assert_eq!(mode(&pins.maps()), 0o700);
    for map in fs::read_dir(pins.maps()).unwrap() {
        let path = map.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn two_agents_do_not_run_at_once() {
    if !enter("two_agents_do_not_run_at_once") {
        return;
    }
    let world = World::new();
    let first = world.load(TcAttach::Auto);
    let second = Datapath::load(&world.settings(TcAttach::Auto));
    assert!(matches!(second, Err(DatapathError::Busy { .. })), "{second:?}");
    let removed = uninstall(&world.pins());
    assert!(matches!(removed, Err(DatapathError::Busy { .. })), "{removed:?}");
    drop(first);
    world.load(TcAttach::Auto);
}

/// Not a test of its own: the agent that `a_killed_agent_leaves_everything_at_work` kills.
#[test]
fn agent_to_be_killed() {
    let Some(parent) = std::env::var_os("SPILLWAY_TEST_AGENT") else { return };
    let (cgroup, root) = parent.to_str().unwrap().split_once(' ').unwrap();
    let mut settings = World::new().settings(TcAttach::Auto);
    settings.cgroup = cgroup.into();
    settings.pins = spillway_node::pins::Pins::new(root);
    let mut datapath = Datapath::load(&settings).unwrap();
    let ifindex = world::output("ip -o link show sw-a").split(':').next().unwrap().parse().unwrap();
    attach_all(&mut datapath, &DeviceRef { ifindex, name: "sw-a".to_owned() }, Role::Pod);
    println!("\nattached");
    std::io::stdout().flush().unwrap();
    thread::park();
}

#[test]
fn a_killed_agent_leaves_everything_at_work() {
    if !enter("a_killed_agent_leaves_everything_at_work") {
        return;
    }
    let world = World::new();
    let device = veth("sw-a");
    drop(world.load(TcAttach::Auto)); // mounts the bpffs, which the other process then sees
    let place = format!("{} {}", world.cgroup.display(), world.pins().root().display());
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "agent_to_be_killed", "--nocapture"])
        .env("SPILLWAY_TEST_AGENT", place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(agent.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "attached"));
    let at_work = world.at_cgroup(CONNECT4);
    agent.kill().unwrap();
    agent.wait().unwrap();
    let _ = fs::remove_dir(world.cgroup.with_file_name(format!("sw-load-{}", agent.id())));
    let _ = fs::remove_dir_all(format!("/tmp/sw-load-{}", agent.id()));
    assert_eq!(world.at_cgroup(CONNECT4), at_work);
    assert_eq!(at_tcx("sw-a", Direction::Egress), ["to_container"]);

    let mut next = world.load(TcAttach::Auto);
    attach_all(&mut next, &device, Role::Pod);
    next.settle().unwrap();
    assert!(next.check().is_empty());
    assert_eq!(world.at_cgroup(CONNECT4).len(), 1);
}

/// Ends the looking, also when an upgrade panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Between two looks: leaves the processor to the upgrade.
const PAUSE: Duration = Duration::from_micros(200);

/// Looks at a hook again and again while `upgrades` run: the fewest and the most programs that were there.
fn watched(look: impl Fn() -> usize + Send + Sync, upgrades: impl FnOnce()) -> (usize, usize) {
    let is_over = AtomicBool::new(false);
    let (fewest, most, looks) =
        (AtomicUsize::new(usize::MAX), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let count = look();
                fewest.fetch_min(count, Ordering::Relaxed);
                most.fetch_max(count, Ordering::Relaxed);
                looks.fetch_add(1, Ordering::Relaxed);
                thread::sleep(PAUSE);
            }
        });
        let _over = Over(&is_over);
        upgrades();
    });
    assert!(looks.into_inner() > 20);
    (fewest.into_inner(), most.into_inner())
}

/// The same of `from_container` at a device. Filters are listed by a shell beside: the end of a child is a signal, and
/// the kernel gives up verifying a program when one comes.
fn watched_device(device: &str, tc_attach: TcAttach, upgrades: impl FnOnce()) -> (usize, usize) {
    if tc_attach == TcAttach::Tcx {
        return watched(|| at_tcx(device, Direction::Ingress).len(), upgrades);
    }
    let look =
        format!("while :; do tc filter show dev {device} ingress; echo END; sleep 0.01; done");
    let mut shell = Command::new("sh").args(["-c", &look]).stdout(Stdio::piped()).spawn().unwrap();
    let output = shell.stdout.take().unwrap();
    let reader = thread::spawn(move || std::io::read_to_string(output).unwrap());
    upgrades();
    shell.kill().unwrap();
    shell.wait().unwrap();
    let listed = reader.join().unwrap();
    let mut looks: Vec<_> = listed.split("END\n").collect();
    looks.pop();
    assert!(looks.len() > 20);
    let counts = || looks.iter().map(|look| look.matches("spillway-from_container").count());
    (counts().min().unwrap(), counts().max().unwrap())
}

#[test]
fn twenty_upgrades_leave_no_moment_without_a_program_nor_with_two() {
    if !enter("twenty_upgrades_leave_no_moment_without_a_program_nor_with_two") {
        return;
    }
    for tc_attach in BOTH {
        let world = World::new();
        let device = veth("sw-a");
        attach_all(&mut world.load(tc_attach), &device, Role::Pod);
        let cgroup = File::open(&world.cgroup).unwrap();
        let look = || at_cgroup(&cgroup, CONNECT4).len();
        let upgrade = || {
            let mut next = world.load(tc_attach);
            attach_all(&mut next, &device, Role::Pod);
            next.settle().unwrap();
        };
        assert_eq!(watched(look, || (0..10).for_each(|_| upgrade())), (1, 1), "{tc_attach:?}");
        let seen = watched_device("sw-a", tc_attach, || (0..10).for_each(|_| upgrade()));
        assert_eq!(seen, (1, 1), "{tc_attach:?}");
        uninstall(&world.pins()).unwrap();
        run("ip link del sw-a");
    }
}

/// A service whose one backend is a listener of this network namespace.
fn serve(world: &World) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let backend = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    let service: SocketAddr = "10.96.0.1:80".parse().unwrap();
    let open = |name| MapData::from_pin(world.pins().map(name)).unwrap();
    let mut backends: Array<_, Backend> = Array::try_from(Map::Array(open("backends"))).unwrap();
    let row = Backend {
        address: backend.ip().into(),
        port: backend.port().into(),
        state: BACKEND_ACTIVE,
        service: 1,
        ..Backend::default()
    };
    backends.set(1, row, 0).unwrap();
    let mut choices: Array<_, u32> = Array::try_from(Map::Array(open("choices"))).unwrap();
    choices.set(1, 1, 0).unwrap();
    let key = FrontendKey {
        address: service.ip().into(),
        port: service.port().into(),
        protocol: 6,
        scope: SCOPE_INTERNAL,
    };
    let row = Frontend { id: 1, service: 1, first: 1, count: 1, ..Frontend::default() };
    frontends(world).insert(key, row, 0).unwrap();
    service
}

#[test]
fn no_connect_fails_while_agents_replace_each_other() {
    if !enter("no_connect_fails_while_agents_replace_each_other") {
        return;
    }
    let world = World::new();
    let mut first = world.load(TcAttach::Auto);
    let service = serve(&world);
    world.join();
    TcpStream::connect(service).expect_err("nothing is attached yet");
    first.attach_sockets().unwrap();
    drop(first);
    let connect = || usize::from(TcpStream::connect(service).is_ok());
    let upgrade = |_| {
        let mut next = world.load(TcAttach::Auto);
        next.attach_sockets().unwrap();
        next.settle().unwrap();
    };
    assert_eq!(watched(connect, || (0..20).for_each(upgrade)), (1, 1));
}

#[test]
fn what_others_detach_is_attached_again_and_told() {
    if !enter("what_others_detach_is_attached_again_and_told") {
        return;
    }
    let world = World::new();
    let device = veth("sw-a");
    let mut datapath = world.load(TcAttach::Tcx);
    attach_all(&mut datapath, &device, Role::Netdev);
    let pins = world.pins();
    detach_link(&pins.socket_link("connect4"));
    detach_link(&pins.device_link(device.ifindex, Direction::Ingress));
    fs::remove_file(pins.device_link(device.ifindex, Direction::Egress)).unwrap();
    assert_eq!(world.at_cgroup(CONNECT4), [0_u32; 0]);
    assert_eq!(at_tcx("sw-a", Direction::Ingress), [] as [&str; 0]);

    let lost = datapath.check();
    let told: Vec<_> = lost.iter().map(|lost| (lost.what.as_str(), lost.complaint)).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].0.starts_with("connect4 at cgroup"), "{told:?}");
    assert_eq!(told[1], ("Netdev program at sw-a ingress", "was detached"));
    assert_eq!(told[2], ("Netdev program at sw-a egress", "was unpinned"));
    assert!(lost.iter().all(|lost| lost.failure.is_none()), "{lost:?}");
    assert_eq!(world.at_cgroup(CONNECT4).len(), 1);
    assert_eq!(at_tcx("sw-a", Direction::Ingress), ["from_netdev"]);
    assert_eq!(at_tcx("sw-a", Direction::Egress), ["to_netdev"]);
    assert!(datapath.check().is_empty());
}

#[test]
fn a_filter_that_others_delete_is_attached_again_and_told() {
    if !enter("a_filter_that_others_delete_is_attached_again_and_told") {
        return;
    }
    let world = World::new();
    let device = veth("sw-a");
    let mut datapath = world.load(TcAttach::Clsact);
    datapath.attach_device(&device, Role::Netdev).unwrap();
    for (vandalism, losses) in
        [("tc filter del dev sw-a ingress", 1), ("tc qdisc del dev sw-a clsact", 2)]
    {
        run(vandalism);
        let lost = datapath.check();
        assert_eq!(lost.len(), losses, "{vandalism}: {lost:?}");
        assert!(lost.iter().all(|lost| lost.failure.is_none()), "{lost:?}");
        assert!(at_clsact("sw-a", Direction::Ingress).contains("from_netdev"));
        assert!(at_clsact("sw-a", Direction::Egress).contains("to_netdev"));
        assert!(datapath.check().is_empty());
    }
}

#[test]
fn a_device_that_goes_away_is_no_loss() {
    if !enter("a_device_that_goes_away_is_no_loss") {
        return;
    }
    for tc_attach in BOTH {
        let world = World::new();
        let device = veth("sw-a");
        let mut datapath = world.load(tc_attach);
        attach_all(&mut datapath, &device, Role::Pod);
        run("ip link del sw-a");
        let lost = datapath.check();
        assert!(lost.is_empty(), "{tc_attach:?}: {lost:?}");
        datapath.detach_device(device.ifindex).unwrap();
        let pin = world.pins().device_link(device.ifindex, Direction::Ingress);
        assert!(!pin.exists() && !world.pins().qdisc(device.ifindex).exists());
    }
}

#[test]
fn a_role_ends_and_another_takes_its_place() {
    if !enter("a_role_ends_and_another_takes_its_place") {
        return;
    }
    for tc_attach in BOTH {
        let world = World::new();
        let device = veth("sw-a");
        let mut datapath = world.load(tc_attach);
        datapath.attach_device(&device, Role::Pod).unwrap();
        datapath.attach_device(&device, Role::Netdev).unwrap();
        let found = at_device("sw-a", Direction::Ingress);
        assert!(found.contains("from_netdev") && !found.contains("from_container"), "{found}");
        datapath.detach_device(device.ifindex).unwrap();
        assert_eq!(at_device("sw-a", Direction::Ingress), "");
        assert!(!world::output("tc qdisc show dev sw-a").contains("clsact"));
        run("ip link del sw-a");
    }
}

#[test]
fn the_way_of_attaching_can_change_from_agent_to_agent() {
    if !enter("the_way_of_attaching_can_change_from_agent_to_agent") {
        return;
    }
    let world = World::new();
    let device = veth("sw-a");
    for tc_attach in [TcAttach::Tcx, TcAttach::Clsact, TcAttach::Tcx] {
        let mut datapath = world.load(tc_attach);
        attach_all(&mut datapath, &device, Role::Netdev);
        datapath.settle().unwrap();
        assert!(datapath.check().is_empty());
        let by_tcx = usize::from(tc_attach == TcAttach::Tcx);
        for direction in Direction::ALL {
            assert_eq!(at_tcx("sw-a", direction).len(), by_tcx, "{tc_attach:?}");
            assert_eq!(at_clsact("sw-a", direction).contains("netdev"), by_tcx == 0);
        }
    }
}

#[test]
fn settling_ends_roles_that_the_last_agent_gave() {
    if !enter("settling_ends_roles_that_the_last_agent_gave") {
        return;
    }
    for tc_attach in BOTH {
        let world = World::new();
        let (kept, ended) = (veth("sw-a"), veth("sw-b"));
        let mut first = world.load(tc_attach);
        attach_all(&mut first, &kept, Role::Netdev);
        first.attach_device(&ended, Role::Netdev).unwrap();
        drop(first);
        let other_layout = world.pins().root().join("maps-v0");
        fs::create_dir(&other_layout).unwrap();
        let mut second = world.load(tc_attach);
        attach_all(&mut second, &kept, Role::Netdev);
        second.settle().unwrap();
        assert!(at_device("sw-a", Direction::Ingress).contains("from_netdev"));
        assert_eq!(at_device("sw-b", Direction::Ingress), "");
        assert!(!other_layout.exists());
        run("ip link del sw-a");
        run("ip link del sw-b");
        drop(second);
        uninstall(&world.pins()).unwrap();
    }
}

/// A program of somebody else at the same hooks of a device, by both ways.
fn foreign(device: &str) -> aya::Ebpf {
    let mut loader = aya::EbpfLoader::new();
    loader.default_map_pin_directory("/sys/fs/bpf/sw-foreign");
    let mut object = loader.load(spillway_node::objects::POD).unwrap();
    let program: &mut SchedClassifier =
        object.program_mut("to_container").unwrap().try_into().unwrap();
    program.load().unwrap();
    let filter = NlOptions { priority: 1, handle: TcHandle::new(0, 1), classid: None };
    for options in
        [TcAttachOptions::TcxOrder(LinkOrder::default()), TcAttachOptions::Netlink(filter)]
    {
        program.attach_with_options(device, TcAttachType::Ingress, options).unwrap();
    }
    object
}

#[test]
fn others_programs_at_the_same_hooks_are_left_alone() {
    if !enter("others_programs_at_the_same_hooks_are_left_alone") {
        return;
    }
    let world = World::new();
    let device = veth("sw-a");
    run("mount -t bpf bpffs /sys/fs/bpf");
    fs::create_dir("/sys/fs/bpf/sw-foreign").unwrap();
    run("tc qdisc add dev sw-a clsact");
    let others = foreign("sw-a");
    let mut datapath = world.load(TcAttach::Tcx);
    datapath.attach_device(&device, Role::Netdev).unwrap();
    assert_eq!(at_tcx("sw-a", Direction::Ingress), ["from_netdev", "to_container"], "ours first");
    drop(datapath);
    let mut datapath = world.load(TcAttach::Clsact);
    datapath.attach_device(&device, Role::Netdev).unwrap();
    assert_eq!(at_tcx("sw-a", Direction::Ingress), ["to_container"]);
    drop(datapath);
    let done = uninstall(&world.pins()).unwrap();
    assert_eq!((done.filters, done.qdiscs), (2, 0));
    assert_eq!(at_tcx("sw-a", Direction::Ingress), ["to_container"]);
    assert!(at_clsact("sw-a", Direction::Ingress).contains("handle 0x1 to_container"));
    drop(others);
}

#[test]
fn uninstall_leaves_nothing() {
    if !enter("uninstall_leaves_nothing") {
        return;
    }
    for tc_attach in BOTH {
        let world = World::new();
        let device = veth("sw-a");
        let before = kernel_objects();
        let mut datapath = world.load(tc_attach);
        attach_all(&mut datapath, &device, Role::Netdev);
        let ours: BTreeSet<_> = our_objects(&world);
        let now = kernel_objects();
        assert!(ours.is_disjoint(&before) && ours.is_subset(&now), "{ours:?}");
        drop(datapath);
        let done = uninstall(&world.pins()).unwrap();
        assert!(done.maps > 10 && done.links > 0, "{done:?}");
        let filters = if tc_attach == TcAttach::Clsact { (2, 1) } else { (0, 0) };
        assert_eq!((done.filters, done.qdiscs), filters);
        wait_until_gone(&ours);
        assert_eq!(world.at_cgroup(CONNECT4), [0_u32; 0]);
        assert!(!world.pins().root().exists());
        assert!(!world::output("tc qdisc show dev sw-a").contains("clsact"));
        assert_eq!(uninstall(&world.pins()).unwrap(), Uninstalled::default(), "twice is fine");
        run("ip link del sw-a");
    }
}

type Object = (&'static str, u32);

fn kernel_objects() -> BTreeSet<Object> {
    let programs =
        loaded_programs().filter_map(Result::ok).map(|program| ("program", program.id()));
    let maps = loaded_maps().filter_map(Result::ok).map(|map| ("map", map.id()));
    let links = loaded_links().filter_map(Result::ok).map(|link| ("link", link.id()));
    programs.chain(maps).chain(links).collect()
}

/// Others load programs on this machine too: only what is at our places is ours.
fn our_objects(world: &World) -> BTreeSet<Object> {
    let mut ours = BTreeSet::new();
    for map in fs::read_dir(world.pins().maps()).unwrap() {
        let map = MapData::from_pin(map.unwrap().path()).unwrap();
        ours.insert(("map", map.info().unwrap().id()));
    }
    for program in loaded_programs().filter_map(Result::ok) {
        let maps = program.map_ids().unwrap().unwrap_or_default();
        if maps.iter().any(|&map| ours.contains(&("map", map))) {
            ours.insert(("program", program.id()));
            // Those of its constants too, which nobody pins.
            ours.extend(maps.into_iter().map(|map| ("map", map)));
        }
    }
    for link in loaded_links().filter_map(Result::ok) {
        if ours.contains(&("program", link.program_id())) {
            ours.insert(("link", link.id()));
        }
    }
    ours
}

/// The kernel frees programs and maps after a grace period of RCU.
fn wait_until_gone(ours: &BTreeSet<Object>) {
    for _ in 0..100 {
        if ours.is_disjoint(&kernel_objects()) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let left: Vec<_> = ours.intersection(&kernel_objects()).copied().collect();
    panic!("left in the kernel: {left:?}");
}
