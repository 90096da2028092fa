//! The metrics, to the letter where it matters.

use spillway_node::ledger::Usage;
use spillway_node::maps::Sizes;
use spillway_node::metrics::{Agent, Counts, Feed, Sample, text};

fn sample() -> Sample {
    Sample {
        agent: Agent {
            version: "0.1.0".to_owned(),
            uptime_seconds: 60,
            usage: Usage {
                services: 3,
                frontends: 8,
                choices: 100,
                backends: 50,
                source_ranges: 1,
            },
            frontends: 4,
            backends: 49,
            failed: 1,
            syncs_total: 7,
            sync_errors_total: 0,
            sync_seconds: 0.25,
            synced_seconds_ago: None,
            attach_lost_total: 2,
            feeds: vec![Feed {
                kind: "Service".to_owned(),
                is_synced: true,
                objects: 9,
                age_seconds: Some(1.5),
            }],
        },
        counts: Counts {
            counters: vec![("connect", 5), ("connect-refused", 1)],
            drops: vec![("no-backend".to_owned(), 4)],
            rows: vec![("conntrack", 20)],
        },
        sizes: Sizes {
            frontends: 64,
            choices: 1000,
            backends: 100,
            affinity: 1,
            source_ranges: 16,
            clients: 1,
            conntrack: 40,
            nat: 1,
            devices: 1,
        },
    }
}

#[test]
fn every_number_has_its_name_and_its_labels() {
    let text = text(sample()).unwrap();
    for line in [
        "spillway_node_build_info{version=\"0.1.0\"} 1",
        "spillway_node_services 3",
        "spillway_node_frontends 4",
        "spillway_node_backends 49",
        "spillway_node_services_failed 1",
        "spillway_node_syncs_total 7",
        "spillway_node_sync_duration_seconds 0.25",
        "spillway_node_attach_lost_total 2",
        "spillway_node_map_entries{map=\"choices\"} 100",
        "spillway_node_map_entries_max{map=\"conntrack\"} 40",
        "spillway_node_map_used_ratio{map=\"conntrack\"} 0.5",
        "spillway_node_map_used_ratio{map=\"frontends\"} 0.125",
        "spillway_node_events_total{event=\"connect-refused\"} 1",
        "spillway_node_dropped_packets_total{reason=\"no-backend\"} 4",
        "spillway_node_cluster_synced{kind=\"Service\"} 1",
        "spillway_node_cluster_age_seconds{kind=\"Service\"} 1.5",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is missing in\n{text}");
    }
    let age = text.lines().find(|line| line.starts_with("spillway_node_sync_age_seconds"));
    assert_eq!(age, None, "there was no sync yet");
    assert!(text.ends_with("# EOF\n"));
}
