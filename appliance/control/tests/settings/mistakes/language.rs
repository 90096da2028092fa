//! TOML itself, unknown keys, wrong types.

use super::check;

#[test]
fn what_is_not_toml_is_refused_where_it_stops_being_toml() {
    check(&[
        (
            "main_core = 0",
            "main_core = «zero»",
            "not TOML: string values must be quoted, expected literal string",
            None,
        ),
        ("[health]", "[«dataplane»]", "not TOML: duplicate key", None),
        (
            r#"interval = "2s""#,
            r#"interval = "2s"«"»"#,
            "not TOML: unexpected key or value, expected newline, `#`",
            None,
        ),
        ("", "[[service« »", "not TOML: unclosed array table, expected `]]`", None),
    ]);
}

#[test]
fn an_unknown_key_is_refused_with_the_key_that_was_meant() {
    check(&[
        ("[timeouts]", "[«timeout»]", "unknown key `timeout`", Some("did you mean `timeouts`?")),
        (
            r#"scheduler = "random""#,
            r#"«schedular» = "random""#,
            "service \"web\": unknown key `schedular`",
            Some("did you mean `scheduler`?"),
        ),
        (
            "main_core = 0",
            "«maincore» = 0",
            "dataplane: unknown key `maincore`",
            Some("did you mean `main_core`?"),
        ),
        (
            r#"udp = "30s""#,
            r#"«sctp» = "30s""#,
            "timeouts: unknown key `sctp`",
            Some("known here: tcp_syn, tcp_established, tcp_closing, udp_unreplied, udp"),
        ),
        (
            r#"path = "/healthz""#,
            r#"«pth» = "/healthz""#,
            "service \"web\": health: unknown key `pth`",
            Some("did you mean `path`?"),
        ),
        (
            r#""10.0.1.71:53""#,
            r#"{ address = "10.0.1.71:53", «wieght» = 2 }"#,
            "service \"dns\": backends: unknown key `wieght`",
            Some("did you mean `weight`?"),
        ),
        (
            "",
            "«\"a.b\"» = 1",
            "service \"dns\": unknown key `a.b`",
            Some(
                "known here: name, type, frontends, scheduler, affinity, source_ranges, no_backend, backends, health",
            ),
        ),
    ]);
}

#[test]
fn a_value_of_a_wrong_type_is_refused_with_both_types() {
    check(&[
        (
            "main_core = 0",
            r#"main_core = «"0"»"#,
            "dataplane: main_core: expected an integer, found a string",
            None,
        ),
        (
            "worker_cores = [1, 2]",
            "worker_cores = «1»",
            "dataplane: worker_cores: expected a list, found an integer",
            None,
        ),
        (
            "worker_cores = [1, 2]",
            r#"worker_cores = [1, «"2"»]"#,
            "dataplane: worker_cores: expected an integer, found a string",
            None,
        ),
        (r#"name = "edge""#, "name = «7»", "name: expected a string, found an integer", None),
        (
            r#"interval = "2s""#,
            "interval = «2»",
            "health: interval: expected a duration such as \"500ms\" or \"2s\", found an integer",
            None,
        ),
        (
            r#"interval = "2s""#,
            r#"interval = «"2 sec"»"#,
            "health: interval: \"2 sec\" is not a duration",
            Some("a whole number and ms, s, m, h or d, such as \"500ms\" or \"2s\""),
        ),
        (r#"udp = "30s""#, "udp = «1979-05-27»", "a date is of no use here", None),
        (
            r#"driver = "af_packet""#,
            "driver = \"af_packet\"\npromiscuous = «\"yes\"»",
            "port \"front\": promiscuous: expected true or false, found a string",
            None,
        ),
        (
            r#"health = { type = "http", path = "/healthz" }"#,
            "health = «true»",
            "service \"web\": health: expected a table, found a boolean",
            None,
        ),
        (
            "[timeouts]\nudp = \"30s\"",
            "«[[timeouts]]»\nudp = \"30s\"",
            "timeouts: expected a table, found a list",
            None,
        ),
    ]);
}

#[test]
fn single_brackets_where_double_ones_belong_are_explained() {
    check(&[(
        "\n[[service]]\nname = \"web\"\ntype = \"NodePort\"\nfrontends = [\"172.26.50.101:30645\"]\nscheduler = \"random\"\nbackends = [\"10.0.1.71:80\", \"10.0.1.72:80\"]\nhealth = { type = \"http\", path = \"/healthz\" }\n\n[[service]]\n",
        "\n«[service]»\n",
        "service is a list of tables, each with a name",
        Some("write [[service]] with double brackets, and in it name = \"...\""),
    )]);
}
