//! `[health]` and a service's `health`.

use super::check;

#[test]
fn checks_that_cannot_work_are_refused() {
    const FROM: &str = r#"health = { type = "http", path = "/healthz" }"#;
    check(&[
        (
            FROM,
            r#"health = { type = «"htpp"», path = "/healthz" }"#,
            "service \"web\": health: unknown type \"htpp\"",
            Some("did you mean `http`?"),
        ),
        (
            FROM,
            r#"health = { type = "tcp", «path» = "/healthz" }"#,
            "service \"web\": health: `path` belongs to type http; this check's type is tcp",
            None,
        ),
        (
            FROM,
            r#"health = { type = "none", «interval» = "1s" }"#,
            "service \"web\": health: `interval` says nothing about a check of type none",
            None,
        ),
        (
            FROM,
            r#"health = { type = "none", «max_eject» = 50 }"#,
            "service \"web\": health: `max_eject` says nothing about a check of type none",
            None,
        ),
        (
            FROM,
            r#"health = { type = "http", path = «"healthz"» }"#,
            "service \"web\": health: path: \"healthz\" does not start with '/'",
            Some("write \"/healthz\""),
        ),
        (
            FROM,
            r#"health = { type = "http", path = «"/a b"» }"#,
            "service \"web\": health: path: \"/a b\" cannot contain ' '",
            Some("encode it with a percent sign, such as %20"),
        ),
        (
            FROM,
            r#"health = { type = "http", host = «"a\r\nX: b"» }"#,
            "service \"web\": health: host: \"a\\r\\nX: b\" cannot contain '\\r'",
            None,
        ),
        (
            FROM,
            r#"health = { type = "http", expect = «"399-200"» }"#,
            "service \"web\": health: expect: \"399-200\" runs backwards",
            Some("write \"200-399\""),
        ),
        (
            FROM,
            r#"health = { type = "http", expect = «"20"» }"#,
            "service \"web\": health: expect: \"20\": an HTTP status is 100 to 599, not \"20\"",
            None,
        ),
        (
            FROM,
            r#"health = { type = "tcp", port = «0» }"#,
            "service \"web\": health: port must be 1 to 65535, not 0",
            None,
        ),
    ]);
}

#[test]
fn clockwork_that_cannot_work_is_refused() {
    check(&[
        (
            r#"interval = "2s""#,
            r#"interval = «"500ms"»"#,
            "health: timeout 1s is longer than the interval, 500ms",
            Some("a check has to end before the next one begins"),
        ),
        (
            r#"path = "/healthz""#,
            r#"timeout = «"3s"»"#,
            "service \"web\": health: timeout 3s is longer than the interval, 2s",
            Some("a check has to end before the next one begins"),
        ),
        (
            r#"interval = "2s""#,
            r#"timeout = «"0ms"»"#,
            "health: timeout must be 1ms to 1h, not 0ms",
            None,
        ),
        (
            r#"interval = "2s""#,
            r#"interval = «"2h"»"#,
            "health: interval must be 10ms to 1h, not 2h",
            None,
        ),
        (r#"interval = "2s""#, "fall = «0»", "health: fall must be 1 to 255, not 0", None),
        (
            r#"path = "/healthz""#,
            "rise = «256»",
            "service \"web\": health: rise must be 1 to 255, not 256",
            None,
        ),
        (
            r#"interval = "2s""#,
            r#"hold_down = «"61m"»"#,
            "health: hold_down must be 0ms to 1h, not 61m",
            None,
        ),
        (
            r#"path = "/healthz""#,
            "max_eject = «101»",
            "service \"web\": health: max_eject must be 1 to 100, not 101",
            None,
        ),
        (r#"interval = "2s""#, "jitter = «51»", "health: jitter must be 0 to 50, not 51", None),
    ]);
}
