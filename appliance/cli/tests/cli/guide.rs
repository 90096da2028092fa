//! The examples of the operator's guide are what the program prints.

use std::path::Path;

use spillway_admin::encode_list;

use crate::daemon::Daemon;
use crate::samples;

/// Every `$ spillway ...` of the guide's console blocks with the output shown below it.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").expect("a console block ends");
        for line in block.lines() {
            match (line.strip_prefix("$ spillway "), examples.last_mut()) {
                (Some(arguments), _) => examples.push((arguments.to_owned(), String::new())),
                (None, Some((_, output))) => {
                    output.push_str(line);
                    output.push('\n');
                }
                (None, None) => panic!("output without a command: {line}"),
            }
        }
    }
    examples
}

fn answer(command: &str) -> String {
    match command {
        "status" => encode_list(&[samples::status()]),
        "service list --refused" => encode_list(&samples::refused()),
        "service" => encode_list(&samples::services()),
        "node" => encode_list(&samples::nodes()),
        "pool" => encode_list(&samples::pools()),
        "kubernetes" => encode_list(&samples::accepted()),
        "backend" => encode_list(&samples::backends()),
        "conntrack" => encode_list(&samples::conntrack()),
        "snat" => encode_list(&samples::snat()),
        "neighbor" => encode_list(&samples::neighbors()),
        "health" => encode_list(&samples::health()),
        "port" => encode_list(&samples::ports()),
        "drops" => encode_list(&[samples::drops()]),
        other => panic!("the guide shows `spillway {other}`"),
    }
}

#[test]
fn every_command_is_shown_as_it_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operators-guide.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut shown = std::collections::BTreeSet::new();
    for (arguments, output) in examples(&page) {
        let first = arguments.split(' ').next().unwrap();
        let command = if arguments.ends_with("--refused") { arguments.as_str() } else { first };
        let command = command.to_owned();
        let (outcome, _) = Daemon::answering(answer(&command)).ask(&arguments);
        let printed = outcome.printed();
        assert_eq!(output, printed, "`spillway {arguments}` prints\n{printed}");
        shown.insert(command);
    }
    assert_eq!(shown.len(), 13, "{shown:?}");
}
