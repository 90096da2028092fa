//! Exit codes and what is said when there is no answer, or only a part of one.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use spillway_admin::{
    ErrorCode, Failure, Kind, Row, ServiceRow, Trailer, encode_error, encode_header, encode_list,
    encode_row, encode_trailer,
};

use crate::daemon::{Daemon, Outcome, Scratch, program, run};
use crate::samples;

#[track_caller]
fn failed(outcome: &Outcome, message: &str) {
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), message));
}

#[test]
fn a_missing_socket_says_that_no_daemon_answers() {
    let scratch = Scratch::new();
    let socket = scratch.path("none.sock");
    let outcome = run(program().arg("--socket").arg(&socket).args(["service", "list"]));
    failed(
        &outcome,
        &format!(
            "spillway: no daemon answers at {}: No such file or directory. \
             Is spillwayd running? (--socket names another)\n",
            socket.display()
        ),
    );
    assert_eq!(outcome.stdout, "");
}

#[test]
fn the_environment_names_the_socket_and_the_option_wins() {
    let scratch = Scratch::new();
    let [by_environment, by_option] = ["env.sock", "option.sock"].map(|name| scratch.path(name));
    let mut command = program();
    command.env("SPILLWAY_ADMIN_SOCKET", &by_environment).arg("status");
    let outcome = run(&mut command);
    assert!(outcome.stderr.contains("env.sock"), "{outcome:?}");
    let outcome = run(command.arg("--socket").arg(&by_option));
    assert!(outcome.stderr.contains("option.sock"), "{outcome:?}");
}

#[test]
fn a_socket_left_behind_is_told_apart_from_a_missing_one() {
    let scratch = Scratch::new();
    let socket = scratch.path("stale.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let outcome = run(program().arg("--socket").arg(&socket).arg("status"));
    failed(
        &outcome,
        &format!(
            "spillway: no daemon listens at {}: Connection refused. The file was left behind by \
             a daemon that has ended; start spillwayd again\n",
            socket.display()
        ),
    );
}

#[test]
fn a_socket_that_may_not_be_used_says_who_may() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;
    let scratch = Scratch::new();
    let socket = scratch.path("private.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
    // Only a process without the file's rights is refused; root has to become somebody else, who
    // may not be able to reach the build directory: a copy of the program lies beside the socket.
    let copy = scratch.path("spillway");
    std::fs::copy(env!("CARGO_BIN_EXE_spillway"), &copy).unwrap();
    let mut command = std::process::Command::new(&copy);
    command.env_clear().arg("--socket").arg(&socket).arg("status");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    } else {
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    failed(
        &run(&mut command),
        &format!(
            "spillway: no access to the daemon at {}: Permission denied. Only root and the \
             socket's group may ask; try sudo\n",
            socket.display()
        ),
    );
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn what_was_typed_wrongly_exits_with_2() {
    for arguments in [
        "",
        "service",
        "service lst",
        "drops --al",
        "status -o yaml",
        "conntrack list --client 10.0.0.300",
        "conntrack list --client example.org:80",
        "conntrack list --protocol sctp",
        "conntrack list --state open",
        "conntrack list --limit 0",
        "conntrack list --limit many",
        "node lst",
        "service list --namespace",
        "kubernetes",
        "kubernetes accept-shrink Pod",
    ] {
        let arguments = arguments.split(' ').filter(|argument| !argument.is_empty());
        let outcome = run(program().args(arguments.clone()));
        let typed: Vec<_> = arguments.collect();
        assert_eq!(outcome.code, Some(2), "{typed:?}: {outcome:?}");
        assert_eq!(outcome.stdout, "", "{typed:?}");
        assert!(!outcome.stderr.is_empty(), "{typed:?} must be explained");
    }
}

#[test]
fn a_wrong_address_is_explained_by_example() {
    let outcome = run(program().args(["conntrack", "list", "--client", "10.0.0.300"]));
    let hint = "`10.0.0.300` is not an address such as 192.0.2.1, 192.0.2.1:80 or [2001:db8::1]:80";
    assert!(outcome.stderr.contains(hint), "{}", outcome.stderr);
}

#[test]
fn help_and_version_exit_with_0() {
    let help = run(program().arg("--help")).printed();
    for command in
        "status service backend node pool kubernetes conntrack snat neighbor health port drops"
            .split(' ')
    {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing in\n{help}");
    }
    let version = run(program().arg("--version")).printed();
    assert_eq!(version, format!("spillway {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_refusal_is_passed_on_without_its_control_characters() {
    let message = "request `x\u{1b}[2J` is unknown to this daemon".to_owned();
    let answer = encode_error(&Failure { code: ErrorCode::UnknownRequest, message });
    let (outcome, _) = Daemon::answering(answer).ask("service list");
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.ends_with(": request `x\\u{1b}[2J` is unknown to this daemon\n"),
        "{outcome:?}"
    );
}

/// `service list` against an answer that is no whole answer.
fn broken(answer: String, format: &str) -> Outcome {
    Daemon::answering(answer).ask(&format!("service list -o {format}")).0
}

#[test]
fn an_answer_without_its_end_fails_and_shows_what_came() {
    let cut = encode_header(ServiceRow::KIND) + &encode_row(&samples::service());
    let outcome = broken(cut.clone(), "table");
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stdout.contains("172.26.50.101:30645"), "{outcome:?}");
    assert!(outcome.stderr.contains("in the middle of its answer"), "{outcome:?}");

    let outcome = broken(cut, "json");
    assert_eq!(outcome.code, Some(1));
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&outcome.stdout);
    assert!(parsed.is_err(), "half a list must not look like a whole one: {outcome:?}");
}

#[test]
fn answers_that_make_no_sense_fail() {
    let header = encode_header(ServiceRow::KIND);
    let row = encode_row(&samples::service());
    let end = |count| encode_trailer(Trailer { count, truncated: false });
    let internal = Failure { code: ErrorCode::Internal, message: "a worker is stuck".to_owned() };
    for (answer, said) in [
        (String::new(), "in the middle of its answer"),
        (header.trim_end().to_owned(), "in the middle of its answer"),
        ("{}\n".to_owned(), "makes no sense"),
        ("\u{0}\u{1}\n".to_owned(), "makes no sense"),
        (row.clone() + &end(1), "does not begin with a header"),
        (encode_header(Kind::Ports) + &end(0), "Ports instead of Services"),
        (header.clone() + &row + &end(2), "1 rows arrived, 2 were announced"),
        (header.clone() + &header, "a second header"),
        (header.clone() + "{\"row\":{\"id\":1}}\n", "missing field"),
        (header.replace("\"version\":1", "\"version\":9"), "speaks version 9"),
        (header + &row + &encode_error(&internal), "a worker is stuck"),
    ] {
        let outcome = broken(answer.clone(), "table");
        assert_eq!(outcome.code, Some(1), "{answer:?}: {outcome:?}");
        assert!(outcome.stderr.contains(said), "{answer:?}: {outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn a_daemon_that_is_full_is_heard_though_it_did_not_listen() {
    let scratch = Scratch::new();
    let socket = scratch.path("admin.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        let message = "too many clients".to_owned();
        let busy = encode_error(&Failure { code: ErrorCode::Busy, message });
        stream.write_all(busy.as_bytes()).unwrap();
    });
    let outcome = run(program().arg("--socket").arg(&socket).arg("status"));
    daemon.join().unwrap();
    failed(&outcome, &format!("spillway: {}: too many clients\n", socket.display()));
}

#[test]
fn a_status_must_be_exactly_one_row() {
    let twice = [samples::status(), samples::status()];
    let (outcome, _) = Daemon::with_rows(&twice).ask("status");
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("not exactly one row"), "{outcome:?}");
    let (outcome, _) = Daemon::with_rows(twice.get(..0).unwrap()).ask("status");
    assert_eq!(outcome.code, Some(1));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let rows = vec![samples::conntrack().remove(0); 100_000];
    for format in ["table", "wide", "json"] {
        let scratch = Scratch::new();
        let socket = scratch.path("admin.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let answer = encode_list(&rows);
        let daemon = std::thread::spawn(move || {
            use std::io::Write;
            let (mut stream, _) = listener.accept().unwrap();
            BufReader::new(&stream).read_line(&mut String::new()).unwrap();
            stream.write_all(answer.as_bytes())
        });
        let mut program = program();
        program.arg("--socket").arg(&socket).args(["conntrack", "list", "-o", format]);
        let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{format}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{format}");
        assert!(daemon.join().unwrap().is_err(), "{format}: the list must not be read to its end");
    }
}

#[test]
fn a_box_without_a_cluster_says_so() {
    let message = "static mode: there is no cluster".to_owned();
    let answer = encode_error(&Failure { code: ErrorCode::NoCluster, message });
    for command in ["node list", "pool list -o json", "kubernetes accept-shrink"] {
        let (outcome, _) = Daemon::answering(answer.clone()).ask(command);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{command}");
        assert!(outcome.stderr.ends_with(": static mode: there is no cluster\n"), "{outcome:?}");
    }
}
