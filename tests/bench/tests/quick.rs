//! The bench as a smoke test: it runs, it checks its packets, its JSON has its shape. Times are
//! nobody's business here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs, process};

use serde_json::Value;

const SERIES: [&str; 2] = ["generator", "whole"];

fn assert_series(series: &Value, rounds: usize) {
    assert!(series["name"].is_string(), "{series}");
    assert_eq!(series["rounds"].as_array().unwrap().len(), rounds, "{series}");
    for round in series["rounds"].as_array().unwrap() {
        assert!(round["frames"].as_u64().unwrap() > 0, "{round}");
        let lost = round["core_lost"].as_f64().unwrap();
        assert!((0.0..1.0).contains(&lost), "{round}");
    }
    for value in ["cycles", "ns", "mpps"] {
        assert_summary(&series[value]);
        assert!(series[value]["min"].as_f64().unwrap() > 0.0, "{series}");
    }
}

fn assert_summary(summary: &Value) {
    let [median, min, max] = ["median", "min", "max"].map(|field| summary[field].as_f64().unwrap());
    assert!(min <= median && median <= max, "{summary}");
}

#[test]
fn a_quick_run_checks_every_kind_of_packet_and_writes_what_it_measured() {
    let json = env::temp_dir().join(format!("sw-bench-quick-{}.json", process::id()));
    let mut bench = Command::new(env!("CARGO_BIN_EXE_sw-bench"));
    bench.arg("--quick").arg("--json").arg(&json);
    let bench = bench.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = bench.id();
    let output = bench.wait_with_output().unwrap();
    let text = fs::read_to_string(&json).unwrap_or_default();
    let _ = fs::remove_file(&json);
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("1000 udp reply") && out.contains("testpmd 5tswap"), "{out}");

    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["schema"], 1);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    assert_eq!(report["build"], build);
    assert!(out.starts_with(build), "who reads the table sees what was built: {out}");
    assert!(report["machine"]["tsc_hz"].as_u64().unwrap() > 100_000_000);
    let rounds = usize::try_from(report["settings"]["rounds"].as_u64().unwrap()).unwrap();
    assert_eq!(rounds, 2);
    let modes: Vec<_> = report["testpmd"].as_array().unwrap().iter().collect();
    assert_eq!(modes.len(), 2);
    for mode in modes {
        assert_series(mode, rounds);
    }
    assert_series(&report["io"], rounds);
    let cases = report["cases"].as_array().unwrap();
    let kinds: Vec<_> = cases.iter().map(|case| (&case["flows"], &case["protocol"])).collect();
    assert_eq!(cases.len(), 2 * 2 * 2, "flows, protocols and directions: {kinds:?}");
    for case in cases {
        assert!(case["frames_checked"].as_u64().unwrap() > 1000, "{case}");
        for series in SERIES {
            assert_series(&case[series], rounds);
        }
        for ratio in ["of_testpmd_io", "of_testpmd_5tswap"] {
            assert_summary(&case[ratio]);
        }
    }
    for left in [format!("/dev/shm/sw-bench-{pid}"), format!("/run/dpdk/sw-bench-pmd-{pid}")] {
        assert!(!Path::new(&left).exists(), "{left} is left behind");
    }
}
