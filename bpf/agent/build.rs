//! Compiles the programs in `bpf/*.bpf.c`, which the agent carries in itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One object per room: see bpf/README.md.
const OBJECTS: [&str; 4] = ["sock", "netdev", "pod", "reaper"];

fn main() -> Result<(), String> {
    let agent = variable("CARGO_MANIFEST_DIR")?;
    let bpf = Path::new(&agent).join("..");
    println!("cargo::rerun-if-changed={}", bpf.join("include").display());
    println!("cargo::rerun-if-env-changed=CLANG");
    let out = PathBuf::from(variable("OUT_DIR")?);
    for object in OBJECTS {
        let source = bpf.join(format!("{object}.bpf.c"));
        println!("cargo::rerun-if-changed={}", source.display());
        compile(&bpf, &source, &out.join(format!("{object}.bpf.o")))?;
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn compile(bpf: &Path, source: &Path, object: &Path) -> Result<(), String> {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    // Debian keeps <asm/types.h> in the architecture's own folder, which -target bpf forgets.
    let architecture = format!("/usr/include/{}-linux-gnu", variable("CARGO_CFG_TARGET_ARCH")?);
    let mut command = Command::new(&clang);
    // Version 3 of the instruction set: kernel 5.1.
    command.args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-std=gnu11"]);
    command.args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]);
    command.arg("-I").arg(bpf.join("include")).arg("-I").arg(architecture);
    command.arg("-c").arg(source).arg("-o").arg(object);
    let status =
        command.status().map_err(|error| format!("{clang}: {error}; apt install clang"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!(
        "{clang} does not compile {}: libbpf-dev and clang 14 are needed",
        source.display()
    ))
}
