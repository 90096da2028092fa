//! How long 10,000 Services with 100 endpoints each take. Run by hand:
//! `cargo test -p spillway-node --test maps -- --ignored --nocapture`

use std::time::Duration;

use spillway_node::ledger::NodePlaces;
use spillway_node::maps::Maps;
use spillway_node::sync::{Outcome, Sync};

use crate::bpffs::Bpffs;
use crate::store::{service, view};

const SERVICES: u32 = 10_000;
const BACKENDS: u32 = 100;

#[test]
#[ignore = "takes seconds and 100 MB of the kernel's memory"]
fn ten_thousand_services_of_a_hundred_endpoints() {
    let bpffs = Bpffs::mount("scale");
    let sizes = [("frontends", 65_536), ("choices", 1 << 21), ("backends", 1 << 20)];
    let mut maps = bpffs.load(&sizes);
    let clock = || bpffs.started.elapsed();
    let places = NodePlaces::default();
    let mut services: Vec<_> = (0..SERVICES).map(|number| service(number, BACKENDS)).collect();
    let told = |what: &str, outcome: &Outcome, took: Duration| {
        println!("{what}: {took:?}, {} touched, {:?}", outcome.touched, outcome.steps);
        assert_eq!(outcome.failed, []);
    };
    let timed = |sync: &mut Sync, maps: &mut Maps, services: &[_]| {
        let before = clock();
        let outcome = sync.sync(maps, &view(services.iter().cloned()), &places, clock).unwrap();
        (outcome, clock().saturating_sub(before))
    };

    let before = clock();
    let mut sync = Sync::adopt(&mut maps).unwrap();
    println!("adopt of empty maps: {:?}", clock().saturating_sub(before));
    let (outcome, took) = timed(&mut sync, &mut maps, &services);
    told("first fill", &outcome, took);
    let (outcome, took) = timed(&mut sync, &mut maps, &services);
    told("nothing changed", &outcome, took);
    services[5000] = service(5000, BACKENDS + 1);
    let (outcome, took) = timed(&mut sync, &mut maps, &services);
    told("one endpoint more", &outcome, took);
    services[5000] = service(5000, BACKENDS);
    let (outcome, took) = timed(&mut sync, &mut maps, &services);
    told("one endpoint less", &outcome, took);

    let before = clock();
    let mut sync = Sync::adopt(&mut maps).unwrap();
    println!("adopt: {:?}", clock().saturating_sub(before));
    let (outcome, took) = timed(&mut sync, &mut maps, &services);
    told("first sync after it", &outcome, took);
    assert_eq!(outcome.steps.len(), 0);
}
