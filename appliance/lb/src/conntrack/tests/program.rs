//! Any program of inserts, packets, removals and time agrees with a naive model.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Fewer records than flows that a program knows, so that the table is often full.
const RECORDS: u32 = 12;
const FLOWS: u32 = 20;

#[derive(Clone, Debug)]
enum Step {
    Insert { n: u32 },
    Packet { n: u32, direction: Direction, flags: TcpFlags },
    Remove { n: u32 },
    Time { ticks: u32, budget: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0..FLOWS;
    let direction = prop_oneof![Just(Direction::Original), Just(Direction::Reply)];
    let flags = prop_oneof![
        4 => Just(0x10), 2 => Just(0x12), 2 => Just(0x11), 1 => Just(0x14), 1 => Just(0x02),
        1 => any::<u8>(),
    ];
    let ticks = prop_oneof![
        Just(0u32),
        1u32..4,
        250u32..700,
        2_900u32..3_100,
        4_000u32..9_000,
        70_000u32..80_000
    ];
    let budget = prop_oneof![3 => Just(u32::MAX), 1 => 0u32..3];
    prop_oneof![
        5 => n().prop_map(|n| Step::Insert { n }),
        8 => (n(), direction, flags).prop_map(|(n, direction, bits)| {
            Step::Packet { n, direction, flags: TcpFlags::from_bits(bits) }
        }),
        1 => n().prop_map(|n| Step::Remove { n }),
        3 => (ticks, budget).prop_map(|(ticks, budget)| Step::Time { ticks, budget }),
    ]
}

/// Every third flow is UDP.
fn numbered(n: u32) -> NewFlow {
    if n.is_multiple_of(3) { udp(n) } else { flow(n) }
}

/// What the model knows of a flow.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Life {
    state: FlowState,
    last_seen: Tick,
}

#[derive(Default)]
struct Model {
    flows: HashMap<u32, Life>,
}

impl Model {
    fn live(&self) -> Vec<NewFlow> {
        self.flows.keys().map(|n| numbered(*n)).collect()
    }

    fn is_due(&self, n: u32, now: Tick) -> bool {
        let life = self.flows[&n];
        life.last_seen.plus(timeouts().of(life.state)) <= now
    }
}

fn run(table: &mut Conntrack<'_>, model: &mut Model, step: &Step, now: &mut Tick) {
    match *step {
        Step::Insert { n } if model.flows.contains_key(&n) => {}
        Step::Insert { n } => {
            let inserted = table.insert_at(&numbered(n), *now);
            assert_eq!(inserted.is_ok(), model.flows.len() < RECORDS as usize);
            if inserted.is_ok() {
                let state = FlowState::opening(numbered(n).protocol);
                model.flows.insert(n, Life { state, last_seen: *now });
            }
        }
        Step::Packet { n, direction, flags } => {
            let found = table.lookup(&numbered(n), direction);
            assert_eq!(found.is_some(), model.flows.contains_key(&n));
            if let (Some(found), Some(life)) = (found, model.flows.get_mut(&n)) {
                *life = Life { state: life.state.after(direction, flags), last_seen: *now };
                let record = table.touch(found, flags, *now, &timeouts()).unwrap();
                assert_eq!((record.state(), record.last_seen()), (Some(life.state), *now));
            }
        }
        Step::Remove { n } => {
            let found = table.lookup(&numbered(n), Direction::Reply);
            let removed = found.and_then(|found| table.remove(found.flow));
            assert_eq!(removed.is_some(), model.flows.remove(&n).is_some());
        }
        Step::Time { ticks, budget } => {
            *now = now.plus(ticks);
            let mut gone = Vec::new();
            table.expire(*now, &timeouts(), budget, |record| gone.push(record.backend_id().get()));
            for n in gone {
                assert!(model.is_due(n, *now), "flow {n} went early");
                model.flows.remove(&n);
            }
            if budget == u32::MAX {
                // A tick of grace: a slot is never filled while it is emptied.
                let past = Tick::new(now.get() - 1);
                let late = model.flows.keys().find(|n| model.is_due(**n, past));
                assert_eq!(late, None, "overdue");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_program_agrees_with_a_naive_model_and_leaves_nothing(
        program in proptest::collection::vec(step(), 1..200)
    ) {
        let mut memory = Memory::for_flows(RECORDS);
        let mut table = memory.table(RECORDS);
        let (mut model, mut now) = (Model::default(), START);
        for step in &program {
            run(&mut table, &mut model, step, &mut now);
            prop_assert_eq!(table.len() as usize, model.flows.len());
        }
        table.assert_holds_exactly(&model.live());
        // Everything falls silent in the end.
        run(&mut table, &mut model, &Step::Time { ticks: 80_000, budget: u32::MAX }, &mut now);
        table.assert_empty();
    }
}
