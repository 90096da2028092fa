//! Maps that grow, and maps that are of no use any more.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

#[path = "datapath/world.rs"]
mod world;

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData};
use aya::programs::loaded_programs;
use spillway_node::datapath::{Datapath, DatapathSettings, MapSizes, TcAttach};
use spillway_node::layout::{Address, Conntrack, Frontend, FrontendKey, SourceRange, Tuple};
use world::{World, enter};

const SMALL: MapSizes = MapSizes {
    frontends: 8,
    choices: 8,
    backends: 8,
    affinity: 64,
    conntrack: 64,
    nat: 64,
    source_ranges: 8,
    clients: 8,
    devices: 8,
    events_bytes: 4096,
};
const LARGE: MapSizes =
    MapSizes { frontends: 16, choices: 16, source_ranges: 16, conntrack: 128, ..SMALL };

fn load(world: &World, sizes: MapSizes) -> Datapath {
    let settings = DatapathSettings { sizes, ..world.settings(TcAttach::Auto) };
    Datapath::load(&settings).unwrap()
}

fn open(world: &World, name: &str) -> MapData {
    MapData::from_pin(world.pins().map(name)).unwrap()
}

fn entries(world: &World, name: &str) -> u32 {
    open(world, name).info().unwrap().max_entries()
}

fn frontends(map: MapData) -> HashMap<MapData, FrontendKey, Frontend> {
    HashMap::try_from(Map::HashMap(map)).unwrap()
}

fn conntrack(map: MapData) -> HashMap<MapData, Tuple, Conntrack> {
    HashMap::try_from(Map::LruHashMap(map)).unwrap()
}

fn flow(port: u16) -> (Tuple, Conntrack) {
    let tuple = Tuple { source_port: port.into(), ..Tuple::default() };
    (tuple, Conntrack { packets: port.into(), ..Conntrack::default() })
}

#[test]
fn a_map_that_grows_keeps_its_rows_and_those_written_until_all_are_switched() {
    if !enter("a_map_that_grows_keeps_its_rows_and_those_written_until_all_are_switched") {
        return;
    }
    let world = World::new();
    let mut first = load(&world, SMALL);
    first.attach_sockets().unwrap();
    for port in 0..8_u16 {
        let key = FrontendKey { port: port.into(), ..FrontendKey::default() };
        let row = Frontend { id: port.into(), ..Frontend::default() };
        frontends(open(&world, "frontends")).insert(key, row, 0).unwrap();
    }
    let mut choices: Array<_, u32> = Array::try_from(Map::Array(open(&world, "choices"))).unwrap();
    choices.set(7, 4711, 0).unwrap();
    let range = Key::new(32 + 8, SourceRange { service: 3, source: Address([10; 16]) });
    let mut ranges: LpmTrie<_, SourceRange, u8> =
        LpmTrie::try_from(Map::LpmTrie(open(&world, "source_ranges"))).unwrap();
    ranges.insert(&range, 1, 0).unwrap();
    let mut old = conntrack(open(&world, "conntrack"));
    let (early, row) = flow(1);
    old.insert(early, row, 0).unwrap();
    drop(first);

    let mut second = load(&world, LARGE);
    assert_eq!(second.fresh(), [] as [&str; 0]);
    let grew = second.notes().iter().filter(|note| note.contains("grew from")).count();
    assert_eq!(grew, 4, "{:?}", second.notes());
    assert_eq!((entries(&world, "frontends"), entries(&world, "backends")), (16, 8));
    let all = frontends(open(&world, "frontends"));
    let mut ids: Vec<_> = all.iter().map(|row| row.unwrap().1.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..8).collect::<Vec<_>>());
    let choices: Array<_, u32> = Array::try_from(Map::Array(open(&world, "choices"))).unwrap();
    assert_eq!(choices.get(&7, 0).unwrap(), 4711);
    let ranges: LpmTrie<_, SourceRange, u8> =
        LpmTrie::try_from(Map::LpmTrie(open(&world, "source_ranges"))).unwrap();
    assert_eq!(ranges.get(&range, 0).unwrap(), 1);

    // A program that is not switched yet opens a flow; one that is goes on with another.
    let (late, late_row) = flow(2);
    old.insert(late, late_row, 0).unwrap();
    let mut new = conntrack(open(&world, "conntrack"));
    let newer = Conntrack { packets: 99, ..row };
    new.insert(early, newer, 0).unwrap();
    second.attach_sockets().unwrap();
    second.settle().unwrap();
    assert_eq!(new.get(&late, 0).unwrap(), late_row);
    assert_eq!(new.get(&early, 0).unwrap(), newer, "what is newer stays");
    assert_eq!(maps_of_connect4(&world), new_ids(&world));
}

/// The pinned maps that the attached program of connect() uses.
fn maps_of_connect4(world: &World) -> Vec<&'static str> {
    let attached = world.at_cgroup(10);
    let program = loaded_programs().flatten().find(|program| program.id() == attached[0]).unwrap();
    let used = program.map_ids().unwrap().unwrap();
    let is_used = |name: &&str| used.contains(&open(world, name).info().unwrap().id());
    ["frontends", "choices", "backends"].into_iter().filter(is_used).collect()
}

/// With the stub it used none; as soon as it looks up services, it uses all of them.
fn new_ids(world: &World) -> Vec<&'static str> {
    let used = maps_of_connect4(world);
    assert!(used.is_empty() || used.len() == 3, "some are not the pinned ones: {used:?}");
    used
}

#[test]
fn a_smaller_size_keeps_the_larger_map_and_says_so() {
    if !enter("a_smaller_size_keeps_the_larger_map_and_says_so") {
        return;
    }
    let world = World::new();
    drop(load(&world, LARGE));
    let second = load(&world, SMALL);
    assert_eq!(entries(&world, "frontends"), 16);
    let notes = second.notes().join("\n");
    assert!(notes.contains("frontends: 8 entries are wanted, the pinned one has 16"), "{notes}");
    assert_eq!(second.fresh(), [] as [&str; 0]);
}

#[test]
fn a_map_of_another_kind_is_made_anew_while_old_programs_keep_theirs() {
    if !enter("a_map_of_another_kind_is_made_anew_while_old_programs_keep_theirs") {
        return;
    }
    let world = World::new();
    drop(load(&world, SMALL));
    // As a build with another struct would have left it.
    let pins = world.pins();
    std::fs::remove_file(pins.map("frontends")).unwrap();
    std::fs::rename(pins.map("clients"), pins.map("frontends")).unwrap();
    let second = load(&world, SMALL);
    assert_eq!(second.fresh(), ["clients", "frontends"]);
    let notes = second.notes().join("\n");
    assert!(notes.contains("frontends: what was pinned is of no use"), "{notes}");
    assert_eq!(open(&world, "frontends").info().unwrap().key_size(), 20);
}

#[test]
fn what_an_agent_left_half_done_does_not_hinder_the_next() {
    if !enter("what_an_agent_left_half_done_does_not_hinder_the_next") {
        return;
    }
    let world = World::new();
    drop(load(&world, SMALL));
    // It died after it made the larger map, before that took the place of the old one.
    let pins = world.pins();
    let next = spillway_node::pins::Pins::next(&pins.map("frontends"));
    open(&world, "clients").pin(&next).unwrap();
    let second = load(&world, LARGE);
    assert_eq!(entries(&world, "frontends"), 16);
    assert!(!next.exists());
    drop(second);
}
