//! `[dataplane]` and `[timeouts]`.

use super::check;

#[test]
fn impossible_cores_are_refused() {
    check(&[
        (
            "worker_cores = [1, 2]",
            "worker_cores = [1, «4»]",
            "dataplane: worker_cores: there is no core 4",
            Some("this machine has 4 cores, 0 to 3"),
        ),
        (
            "main_core = 0",
            "main_core = «64»",
            "dataplane: main_core: there is no core 64",
            Some("this machine has 4 cores, 0 to 3"),
        ),
        (
            "worker_cores = [1, 2]",
            "worker_cores = [1, «-1»]",
            "dataplane: worker_cores must be 0 to 65535, not -1",
            None,
        ),
        (
            "worker_cores = [1, 2]",
            "worker_cores = [1, 2, «1»]",
            "dataplane: worker_cores: core 1 is listed twice",
            Some(
                "two workers on one core slow each other; if that is meant, say oversubscribe = true",
            ),
        ),
        (
            "worker_cores = [1, 2]",
            "worker_cores = «[]»",
            "dataplane: no worker: worker_cores is empty",
            Some("name at least one core, such as worker_cores = [1]"),
        ),
        (
            "worker_cores = [1, 2]",
            concat!(
                "oversubscribe = true\nworker_cores = «[",
                "0,1,2,3,0,1,2,3,0,1,2,3,0,1,2,3,0,1,2,3,0,1,2,3,0,1,2,3,0,1,2,3,",
                "0,1,2,3,0,1,2,3,0,1,2,3,0,1,2,3,0,1,2,3,0,1,2,3,0,1,2,3,0,1,2,3,0]»"
            ),
            "dataplane: worker_cores: 65 workers are too many",
            Some("at most 64"),
        ),
    ]);
}

#[test]
fn sizes_out_of_range_and_unknown_words_are_refused() {
    check(&[
        (
            "main_core = 0",
            "flows_max = «1023»",
            "dataplane: flows_max must be 1024 to 67108864, not 1023",
            None,
        ),
        (
            "main_core = 0",
            "flows_max = «67_108_865»",
            "dataplane: flows_max must be 1024 to 67108864, not 67108865",
            None,
        ),
        (
            "main_core = 0",
            "snat_backends_max = «0»",
            "dataplane: snat_backends_max must be 1 to 65536, not 0",
            None,
        ),
        (
            "main_core = 0",
            "memory_mib = «32»",
            "dataplane: memory_mib must be 64 to 1048576, not 32",
            None,
        ),
        (
            "main_core = 0",
            "memory_mib = 64\nmbufs = «65536»",
            "dataplane: 65536 mbufs take 144 MiB, and memory_mib is 64",
            Some("raise memory_mib above 144, or lower mbufs"),
        ),
        (
            r#"poll = "busy""#,
            r#"poll = «"bussy"»"#,
            "dataplane: unknown poll \"bussy\"",
            Some("did you mean `busy`?"),
        ),
        (
            r#"poll = "busy""#,
            r#"memory = «"huge"»"#,
            "dataplane: unknown memory \"huge\"",
            Some("known here: auto, hugepages, ordinary"),
        ),
        (
            r#"name = "edge""#,
            r#"log_level = «"warning"»"#,
            "unknown log_level \"warning\"",
            Some("known here: error, warn, info, debug, trace"),
        ),
        (r#"name = "edge""#, r#"name = «""»"#, "name: a name cannot be empty", None),
        (
            r#"name = "edge""#,
            r#"name = «"edge 1"»"#,
            "name: \"edge 1\" cannot contain ' '",
            Some("use letters, digits, '-', '_', '.', '/'"),
        ),
    ]);
}

#[test]
fn timeouts_that_forget_at_once_or_never_are_refused() {
    check(&[
        (
            r#"udp = "30s""#,
            r#"udp = «"0s"»"#,
            "timeouts: udp cannot be 0",
            Some("every flow would be forgotten at once; the shortest is 1ms"),
        ),
        (
            r#"udp = "30s""#,
            r#"tcp_established = «"8d"»"#,
            "timeouts: tcp_established is longer than 7 days",
            None,
        ),
        (
            r#"udp = "30s""#,
            r#"tcp_syn = «"99999999999999999999s"»"#,
            "timeouts: tcp_syn: \"99999999999999999999s\" is too long a duration",
            None,
        ),
    ]);
}
