//! The BPF programs and the appliance number drop reasons alike.

use std::fmt::Write;
use std::path::Path;

use spillway_lb::verdict::DropReason;

fn header() -> String {
    let mut text = String::from(
        "/* SPDX-License-Identifier: Apache-2.0 */\n\
         /* Why a packet was dropped. Generated from appliance/lb/src/verdict.rs; to write it anew:\n \
         * SPILLWAY_WRITE=1 cargo test -p spillway-lb --test drop_reason_header */\n\
         #pragma once\n\nenum spillway_drop_reason {\n",
    );
    for reason in DropReason::ALL {
        let name = reason.name().replace('-', "_").to_uppercase();
        let _ = writeln!(text, "\t/* {} */", reason.description());
        let _ = writeln!(text, "\tSPILLWAY_DROP_{name} = {},", *reason as u8);
    }
    text.push_str("};\n");
    text
}

#[test]
fn the_header_of_the_bpf_programs_has_the_numbers_of_the_enum() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bpf/include/spillway/drop_reason.h");
    if std::env::var_os("SPILLWAY_WRITE").is_some() {
        std::fs::write(&path, header()).unwrap();
    }
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(have, header(), "{} is stale", path.display());
}
