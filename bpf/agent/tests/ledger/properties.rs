//! Random views, restarts and small maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use spillway_cluster::addresses::Family;
use spillway_cluster::node::{NodeService, NodeView};
use spillway_node::layout::{Address, Backend, Be16, Frontend, FrontendKey, SourceRange};
use spillway_node::ledger::{Capacity, Ledger, NodePlaces, Plan, REST, SourceKey, Step};

use crate::views::{any_service, expected, places, view};
use crate::world::World;

#[derive(Clone, Debug)]
enum Event {
    /// A Service comes, or changes.
    Set(Arc<NodeService>),
    /// The Service at this place of the view goes.
    Remove(usize),
    /// The node's addresses change.
    Move,
    /// The agent dies after this many of its next steps, and another one starts.
    Die(usize),
    Restart,
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => any_service().prop_map(Event::Set),
        2 => any::<usize>().prop_map(Event::Remove),
        1 => Just(Event::Move),
        1 => (0usize..12).prop_map(Event::Die),
        1 => Just(Event::Restart),
        3 => (1u64..1500).prop_map(Event::Wait),
    ]
}

struct Run {
    world: World,
    ledger: Ledger,
    services: BTreeMap<(String, Family), Arc<NodeService>>,
    places: NodePlaces,
    now: Duration,
    /// The next agent's plan ends after so many steps.
    dies_after: Option<usize>,
    frontend_ids: BTreeMap<u32, FrontendKey>,
}

impl Run {
    fn new(capacity: Capacity) -> Self {
        Self {
            world: World::new(capacity),
            ledger: Ledger::new(capacity),
            services: BTreeMap::new(),
            places: places(),
            now: Duration::from_secs(100),
            dies_after: None,
            frontend_ids: BTreeMap::new(),
        }
    }

    fn view(&self) -> NodeView {
        view(self.services.values().cloned())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Set(service) => {
                self.services.insert((service.name.clone(), service.family), service);
            }
            Event::Remove(at) => {
                let at = at.checked_rem(self.services.len()).unwrap_or(0);
                let key = self.services.keys().nth(at).cloned();
                key.and_then(|key| self.services.remove(&key));
            }
            Event::Move => self.places.addresses.reverse(),
            Event::Die(steps) => self.dies_after = Some(steps),
            Event::Restart => self.restart(),
            Event::Wait(millis) => self.now += Duration::from_millis(millis),
        }
    }

    fn restart(&mut self) {
        let (ledger, repairs) = self.world.adopt();
        for step in &repairs {
            assert!(
                matches!(step, Step::FreeBackend { .. } | Step::DeleteSourceRange(_)),
                "an agent that died leaves no frontend that makes no sense: {step:?}"
            );
        }
        let repairs = Plan { steps: repairs, ..Plan::default() };
        self.world.carry_out(&repairs, self.now);
        self.ledger = ledger;
    }

    fn sync(&mut self) -> Plan {
        let view = self.view();
        let before = self.world.see_all();
        let mut plan = self.ledger.plan(&view, &self.places, self.now);
        if let Some(steps) = self.dies_after.take() {
            plan.steps.truncate(steps);
            self.world.carry_out(&plan, self.now);
            self.restart();
            return self.sync();
        }
        self.world.carry_out(&plan, self.now);
        self.ledger.applied(self.now);
        self.world.assert_no_leak(&self.ledger);
        self.check(&view, &plan, &before);
        let again = self.ledger.plan(&view, &self.places, self.now);
        if plan.failed.is_empty() {
            assert_eq!((&again.steps, again.touched), (&Vec::new(), 0), "nothing is left to do");
        } else if !again.steps.is_empty() {
            assert_eq!(plan.retry_at, Some(self.now), "it could be done better at once");
        }
        self.world.carry_out(&again, self.now);
        self.ledger.applied(self.now);
        plan
    }

    /// Exactly what the view wants is served, but for what did not fit: that is as it was.
    fn check(
        &mut self,
        view: &NodeView,
        plan: &Plan,
        before: &BTreeMap<FrontendKey, crate::world::Sight>,
    ) {
        let no_room: BTreeSet<&str> = plan
            .failed
            .iter()
            .filter(|failed| failed.reason.contains("has no room"))
            .map(|failed| failed.service.as_str())
            .collect();
        let names: BTreeMap<u32, &str> =
            self.ledger.names().map(|(id, name, _)| (id, name)).collect();
        let expected = expected(view, &self.places);
        for (key, (name, sockets)) in &expected {
            let seen = self.world.see(key);
            if !no_room.contains(name.as_str()) {
                let (service, seen) = seen.unwrap_or_else(|| panic!("{key:?} is missing"));
                assert_eq!((names[&service], &seen), (name.as_str(), sockets), "{key:?}");
            }
        }
        for (key, (service, seen)) in self.world.see_all() {
            if no_room.contains(names[&service]) {
                // Two families may share a name, and only one of them be full.
                let is_as_it_was = before.get(&key) == Some(&(service, seen.clone()));
                let is_new = expected.get(&key).is_some_and(|(_, sockets)| *sockets == seen);
                assert!(is_as_it_was || is_new, "{key:?} of a Service without room changed");
            } else {
                assert!(expected.contains_key(&key), "{key:?} is left over");
            }
        }
        for (key, row) in &self.world.frontends {
            let spot = FrontendKey { scope: 0, ..*key };
            let first = self.frontend_ids.entry(row.id).or_insert(spot);
            assert_eq!(*first, spot, "frontend id {} is given twice", row.id);
        }
    }
}

fn capacity() -> impl Strategy<Value = Capacity> {
    let roomy = Capacity { frontends: 500, choices: 50_000, backends: 500, source_ranges: 500 };
    prop_oneof![
        2 => Just(roomy),
        3 => (1u32..30, 1u32..40, 1u32..30, 0u32..8).prop_map(
            |(frontends, choices, backends, source_ranges)| Capacity {
                frontends, choices, backends, source_ranges
            }
        ),
        1 => Just(Capacity { choices: 700, ..roomy }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn after_every_step_a_reader_finds_the_old_or_the_new_and_nothing_leaks(
        capacity in capacity(), events in vec(event(), 1..30)
    ) {
        let mut run = Run::new(capacity);
        for event in events {
            run.happen(event);
            run.sync();
        }
        // What did not fit comes once there is room: without anything, all places come back.
        run.services.clear();
        run.sync();
        run.now += REST;
        run.sync();
        prop_assert_eq!(run.ledger.resting(), (0, 0));
        prop_assert_eq!((run.ledger.usage().choices, run.ledger.usage().backends), (0, 1));
        prop_assert!(run.world.frontends.is_empty() && run.world.sources.is_empty());
    }

    #[test]
    fn a_restart_alone_changes_nothing(services in vec(any_service(), 1..8)) {
        let capacity = Capacity { frontends: 500, choices: 50_000, backends: 500, source_ranges: 500 };
        let mut run = Run::new(capacity);
        for service in services {
            run.happen(Event::Set(service));
        }
        let failed = run.sync().failed;
        run.restart();
        let plan = run.ledger.plan(&run.view(), &run.places, run.now);
        prop_assert_eq!(plan.failed, failed);
        // A Service of which nothing is served got its number for nothing, and row 0 remembers.
        let rest = plan.steps.iter().filter(|step| !matches!(step, Step::WriteBackend { index: 0, .. }));
        prop_assert_eq!(rest.collect::<Vec<_>>(), Vec::<&Step>::new());
    }

    #[test]
    fn garbage_is_removed_and_what_makes_sense_goes_on(
        services in vec(any_service(), 1..4),
        frontends in vec(garbage_frontend(), 0..20),
        backends in vec((0usize..40, garbage_backend()), 0..20),
        choices in vec((0usize..60, any::<u8>()), 0..20),
        sources in vec((any::<u8>(), 0u32..200), 0..5),
    ) {
        let capacity = Capacity { frontends: 60, choices: 60, backends: 40, source_ranges: 20 };
        let mut run = Run::new(capacity);
        for service in services {
            run.happen(Event::Set(service));
        }
        run.sync();
        run.world.frontends.extend(frontends);
        for (at, row) in backends {
            run.world.backends[at] = row;
        }
        for (at, row) in choices {
            run.world.choices[at] = row.into();
        }
        for (service, bits) in sources {
            let range = SourceRange { service: service.into(), source: Address::default() };
            run.world.sources.insert(SourceKey { bits, range });
        }
        let (ledger, repairs) = run.world.adopt();
        for step in &repairs {
            run.world.apply(step, run.now);
        }
        run.ledger = ledger;
        run.frontend_ids.clear();
        // Whatever is left makes sense.
        run.world.see_all();
        run.world.assert_no_leak(&run.ledger);
        let plan = run.ledger.plan(&run.view(), &run.places, run.now);
        run.world.carry_out(&plan, run.now);
        run.ledger.applied(run.now);
        run.world.assert_no_leak(&run.ledger);
        for (key, (_, sockets)) in expected(&run.view(), &run.places) {
            if plan.failed.is_empty() {
                prop_assert_eq!(run.world.see(&key).unwrap().1, sockets);
            }
        }
    }
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..60, 1 => any::<u32>()]
}

prop_compose! {
    fn garbage_frontend()(
        host in 0u8..8, port in 78u16..84, protocol in prop_oneof![Just(6u8), Just(17), any::<u8>()],
        scope in 0u8..3, id in small(), service in 0u32..9, first in small(), count in small(),
        kind in 0u8..5, flags: u16,
    ) -> (FrontendKey, Frontend) {
        let address = std::net::IpAddr::from([10, 96, 0, host]).into();
        let key = FrontendKey { address, port: port.into(), protocol, scope };
        (key, Frontend { id, service, first, count, affinity_s: 0, flags, kind, pad: 0 })
    }
}

prop_compose! {
    fn garbage_backend()(
        host in 0u8..8, port in 79u16..83, state in 0u8..4, flags: u8, service in 0u32..9, pad: u64
    ) -> Backend {
        let address = std::net::IpAddr::from([10, 0, 0, host]).into();
        Backend { address, port: Be16::from(port), state, flags, service, pad }
    }
}
