//! More than one mistake in one file.

use crate::folder::Folder;

use super::unmark;

#[test]
fn every_mistake_of_a_file_is_reported_in_the_order_of_its_lines() {
    let marked = r#"
name = «"two words"»
[dataplane]
worker_cores = [«9», 1, «1»]
«pol» = "busy"

[[port]]
name = «"front"»
driver = "af_packet"
addresses = ["172.26.50.101/24", «"fd00::1/64"»]
gateway = «"10.9.9.9/8"»

[[port]]
driver = «"dpdk"»
addresses = [«"172.26.50.102/24"»]

[snat]
addresses = ["172.26.50.101"]
ports = «"1-60000"»

[[service]]
name = "web"
frontends = ["172.26.50.101:80", «"172.26.50.101:80"», «5»]
backends = ["10.0.1.71:80", «"10.0.1.71"»]
health = { type = «"https"», interval = "never" }
"#;
    let (text, expected) = unmark(marked);
    let mistakes = Folder::with(&text).load().unwrap_err();
    let mut places: Vec<(usize, usize, usize)> = mistakes
        .iter()
        .map(|mistake| (mistake.place.line, mistake.place.column, mistake.place.length))
        .collect();
    let sorted = places.is_sorted();
    // The second port's missing name is marked at its header; one place may hold two mistakes.
    places.dedup();
    let header = text.lines().position(|line| line == "[[port]]").unwrap() + 1;
    let second = text
        .lines()
        .skip(header)
        .position(|line| line == "[[port]]")
        .map(|offset| (header + offset + 1, 1, "[[port]]".len()))
        .unwrap();
    let mut expected = expected;
    expected.push(second);
    expected.sort_unstable();
    assert!(sorted, "{mistakes}");
    assert_eq!(places, expected, "{mistakes}");
    assert!(mistakes.to_string().contains(" mistakes in "), "{mistakes}");
}

#[test]
fn an_empty_file_lacks_a_port_and_nothing_else() {
    let mistakes = Folder::with("").load().unwrap_err();
    let messages: Vec<&str> = mistakes.iter().map(|mistake| mistake.message.as_str()).collect();
    assert_eq!(messages, ["there is no [[port]]"]);
}

#[test]
fn a_file_of_services_alone_does_not_blame_them_for_the_missing_ports() {
    let text = "[snat]\naddresses = [\"10.0.1.1\"]\n[[service]]\nname = \"web\"\n\
                frontends = [\"10.0.2.1:80\"]\nbackends = [\"10.0.1.2:80\"]\n";
    let mistakes = Folder::with(text).load().unwrap_err();
    let messages: Vec<&str> = mistakes.iter().map(|mistake| mistake.message.as_str()).collect();
    assert_eq!(messages, ["there is no [[port]]"]);
}

#[test]
fn tables_without_a_name_are_counted_and_read_on() {
    let (text, expected) = unmark(
        "«[[port]]»\ndriver = \"ring\"\naddresses = [«\"10.0.1.1\"»]\n\
         [[port]]\nname = «7»\ndriver = \"ring\"\naddresses = [\"10.0.2.1/24\"]\n",
    );
    let mistakes = Folder::with(&text).load().unwrap_err();
    let places: Vec<(usize, usize, usize)> = mistakes
        .iter()
        .map(|mistake| (mistake.place.line, mistake.place.column, mistake.place.length))
        .collect();
    assert_eq!(places, expected, "{mistakes}");
    assert_eq!(mistakes.as_slice()[0].message, "port \"#1\": name is missing");
    assert_eq!(
        mistakes.as_slice()[2].message,
        "port \"#2\": name: expected a string, found an integer"
    );
}

#[test]
fn the_report_of_a_broken_file_reads_like_a_compilers() {
    let folder = Folder::with(&crate::folder::BASE.replace("10.0.1.72:80\"]", "10.0.1.71:80\"]"));
    let mistakes = folder.load().unwrap_err();
    let file = folder.path("static.toml");
    let expected = format!(
        "error: service \"web\": backend 10.0.1.71:80 is listed twice
  --> {file}:37:29
   |
37 | backends = [\"10.0.1.71:80\", \"10.0.1.71:80\"]
   |                             ^^^^^^^^^^^^^^
   = help: remove one of them; a weight gives a backend a larger share

1 mistake in {file}",
        file = file.display()
    );
    assert_eq!(mistakes.to_string(), expected);
}
