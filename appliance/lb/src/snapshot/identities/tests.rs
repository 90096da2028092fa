use super::*;
use crate::model::ServiceKind;

fn backends(hosts: impl IntoIterator<Item = u8>) -> Vec<Backend> {
    let backend = |host| Backend { address: [10, 0, 0, host].into(), port: 80, weight: 1 };
    hosts.into_iter().map(backend).collect()
}

fn service(name: &str, hosts: impl IntoIterator<Item = u8>) -> Service {
    Service { backends: backends(hosts), ..Service::new(name, ServiceKind::NodePort) }
}

fn model(services: impl IntoIterator<Item = Service>) -> Model {
    Model { services: services.into_iter().map(Arc::new).collect(), routes: Vec::new() }
}

fn next(identities: &mut Identities, model: &Model) -> Snapshot {
    identities.snapshot(model, |_| Vec::new())
}

fn ids(snapshot: &Snapshot, at: usize) -> Vec<u32> {
    snapshot.services[at].backends.iter().map(|backend| backend.id.get()).collect()
}

#[test]
fn a_backend_keeps_its_number_wherever_it_stands_and_whatever_it_weighs() {
    let mut identities = Identities::default();
    let first = next(&mut identities, &model([service("web", [1, 2, 3])]));
    assert_eq!(ids(&first, 0), [0, 1, 2]);
    let second = next(&mut identities, &model([service("web", [3, 4, 1, 4])]));
    assert_eq!(ids(&second, 0), [2, 3, 0, 3]);
    let mut heavy = model([service("web", [3, 4, 1, 2])]);
    Arc::make_mut(&mut heavy.services[0]).backends[0].weight = 7;
    let third = next(&mut identities, &heavy);
    assert_eq!(
        (ids(&third, 0), third.services[0].backends[0].backend.weight),
        (vec![2, 3, 0, 1], 7)
    );
}

#[test]
fn two_services_number_the_same_address_apart_and_kinds_are_two_services() {
    let mut other = service("web", [1]);
    other.kind = ServiceKind::LoadBalancer;
    let both = model([service("web", [1]), other]);
    let snapshot = next(&mut Identities::default(), &both);
    assert_eq!((ids(&snapshot, 0), ids(&snapshot, 1)), (vec![0], vec![1]));
    assert_ne!(snapshot.services[0].id, snapshot.services[1].id);
}

#[test]
fn what_did_not_change_is_the_same_object_also_when_it_was_said_anew() {
    let mut identities = Identities::default();
    let said = || model([service("a", [1]), service("b", [1, 2]), service("c", [])]);
    let first = next(&mut identities, &said());
    let mut changed = said();
    Arc::make_mut(&mut changed.services[1]).backends[1].weight = 2;
    let second = next(&mut identities, &changed);
    let same = |at: usize| Arc::ptr_eq(&first.services[at], &second.services[at]);
    assert_eq!([0, 1, 2].map(same), [true, false, true]);
}

#[test]
fn standings_decide_about_serving_and_weight_and_need_not_mention_all() {
    let mut identities = Identities::default();
    let model = model([service("web", [1, 2, 3])]);
    let mut standings = Vec::new();
    let mut tell = |standings: &[Standing]| {
        let snapshot = identities.snapshot(&model, |_| standings.to_vec());
        let backends = snapshot.services[0].backends.iter();
        backends.map(|it| (it.id.get(), it.serving, it.backend.weight)).collect::<Vec<_>>()
    };
    assert_eq!(tell(&standings), [(0, true, 1), (1, true, 1), (2, true, 1)]);
    standings.push(Standing { serving: false, weight: None });
    standings.push(Standing { serving: true, weight: Some(5) });
    assert_eq!(tell(&standings), [(0, false, 1), (1, true, 5), (2, true, 1)]);
    assert_eq!(tell(&[]), [(0, true, 1), (1, true, 1), (2, true, 1)]);
}

#[test]
fn a_backend_that_comes_back_soon_has_its_old_number_and_no_number_is_given_twice() {
    let mut identities = Identities::default();
    next(&mut identities, &model([service("web", [1, 2])]));
    next(&mut identities, &model([service("web", [1])]));
    next(&mut identities, &model([service("web", [3])]));
    let back = next(&mut identities, &model([service("web", [2, 1, 3])]));
    assert_eq!(ids(&back, 0), [1, 0, 2]);
    next(&mut identities, &model([service("web", [])]));
    let mut given = HashSet::new();
    for host in 10..250 {
        let snapshot = next(&mut identities, &model([service("web", [host])]));
        assert!(given.insert(ids(&snapshot, 0)[0]), "{host}");
    }
    // Long forgotten, so a new one.
    let back = next(&mut identities, &model([service("web", [1])]));
    assert_eq!(ids(&back, 0), [243]);
}

#[test]
fn memory_follows_what_is_served_and_not_what_has_ever_been() {
    let mut identities = Identities::default();
    for round in 0..300u16 {
        let [high, low] = round.to_be_bytes();
        let mut pods = service("stays", []);
        pods.backends = (0..10)
            .map(|host| Backend { address: [10, high, low, host].into(), port: 80, weight: 1 })
            .collect();
        let rounds = service(&format!("round-{round}"), [1]);
        let snapshot = next(&mut identities, &model([pods, rounds]));
        // A number of its own for each Service, and the lowest place that is free.
        assert_eq!(snapshot.services[1].id.get(), u32::from(round) + 1);
        assert_eq!(snapshot.services[1].place, 1);
        assert_ne!(snapshot.services[0].place, snapshot.services[1].place);
    }
    let left = identities.services.iter().map(|known| known.left.len()).max();
    assert_eq!((identities.services.len(), left), (2, Some(LEFT_MAX)));
}
