//! Tagged links, by a classifier of our own.
//!
//! Not by 802.1Q sub-interfaces: many kernels are built without them. A classifier at the end of
//! the wire pushes the tag on what leaves and takes it off what comes, and it is stricter: a frame
//! without the tag, or with another one, goes nowhere.

use std::fs;
use std::path::Path;

use super::namespace::Namespace;
use crate::error::{LabError, Result};
use crate::process::run;

/// The classifier; `TAG` is defined by the compiler's command line.
const SOURCE: &str = include_str!("vlan.bpf.c");

/// Tags everything that leaves `link` and admits nothing else than frames with this tag.
pub(super) fn tag(namespace: &Namespace, link: &str, tag: u16, dir: &Path) -> Result<()> {
    let source = dir.join("vlan.bpf.c");
    let object = dir.join(format!("vlan-{tag}.o"));
    let object_name = object.display().to_string();
    if !object.exists() {
        fs::write(&source, SOURCE).map_err(LabError::io("write the VLAN classifier"))?;
        let define = format!("-DTAG={tag}");
        // Debian keeps <asm/types.h> in the architecture's own folder, which -target bpf forgets.
        let include = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
        let source_name = source.display().to_string();
        let words = ["-O2", "-g", "-target", "bpf", &define, &include, "-c", &source_name, "-o"];
        run("clang", &[&words[..], &[&object_name]].concat())?;
    }
    namespace.run(&["tc", "qdisc", "add", "dev", link, "clsact"])?;
    for direction in ["egress", "ingress"] {
        let words = ["tc", "filter", "add", "dev", link, direction, "bpf", "direct-action", "obj"];
        namespace.run(&[&words[..], &[&object_name, "sec", direction]].concat())?;
    }
    Ok(())
}
