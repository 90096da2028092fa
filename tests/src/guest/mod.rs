//! A sandbox with a kernel of its own: Debian's, in an emulated machine.
//!
//! What the machine's kernel cannot show, an older or another one can: programs that its verifier has to accept,
//! devices that this one lacks. The kernel comes as a package and is unpacked, not installed. It boots into an
//! initramfs that holds the test program, the programs it starts and the tools they need, all as they are here, and
//! runs the test inside as [`crate::sandbox`] does.
//!
//! Without /dev/kvm everything is emulated, some twenty times slower: a boot takes seconds all the same.

mod archive;
mod kernel;
mod root;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{LabError, Result, ensure};
use crate::process::log_tail;
use crate::sandbox;

/// Emulator: Debian's qemu-system-x86.
const QEMU: &str = "qemu-system-x86_64";
const MEMORY: &str = "1536M";
/// From power-on to the end of the test.
const DEADLINE: Duration = Duration::from_mins(8);
/// No pictures of other kernels; the clock of a slow machine is no reason to worry; nothing to restart for.
const CMDLINE: &str =
    "console=ttyS0 quiet panic=-1 mitigations=off nokaslr nowatchdog tsc=unstable";

/// The packages that are read from, for messages.
const PACKAGES: &str = "apt install qemu-system-x86 busybox-static";

/// Runs the body of a test in a machine of its own; to be called as [`sandbox::test`] is.
///
/// # Panics
/// When the body fails or the machine cannot be made: a kernel that was not tried is no success.
#[expect(clippy::panic, reason = "this is the assertion of every test on another kernel")]
pub fn test<F: FnOnce() -> Result<()>>(body: F) {
    if sandbox::is_inside() {
        return sandbox::test(body);
    }
    let name = sandbox::test_name(std::any::type_name::<F>());
    if let Err(error) = sandbox::prepare().and_then(|_turn| outer(name)) {
        panic!("{error}");
    }
}

fn outer(test: &str) -> Result<()> {
    let kernel = kernel::find()?;
    let dir = std::env::temp_dir().join(format!("sw-guest-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(LabError::io(format!("create {}", dir.display())))?;
    let outcome =
        root::build(&kernel, test, &dir.join("initramfs")).and_then(|()| run(&kernel.image, &dir));
    let log = std::fs::read_to_string(dir.join("console.log")).unwrap_or_default();
    // Another process' folder has another name.
    let _ = std::fs::remove_dir_all(&dir);
    outcome?;
    // The marks of the test program and of `root::INIT`, behind which nothing can go wrong unseen.
    let passed = log.contains("test result: ok. 1 passed") && log.contains("guest: done 0");
    ensure(passed, || format!("on {}:\n{log}", kernel.release))?;
    println!("{log}");
    Ok(())
}

/// Boots and waits for the end.
fn run(image: &Path, dir: &Path) -> Result<()> {
    let console = dir.join("console.log");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", QEMU]);
    command.args(["-M", "pc", "-accel", "kvm", "-accel", "tcg", "-cpu", "max", "-m", MEMORY]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.arg("-serial").arg(format!("file:{}", console.display()));
    command.arg("-kernel").arg(image).arg("-initrd").arg(dir.join("initramfs"));
    command.args(["-append", CMDLINE]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().map_err(LabError::io(format!("{QEMU} ({PACKAGES})")))?;
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(LabError::io("wait for the emulator"))? {
            return ensure(status.success(), || {
                format!("{QEMU}: {status} ({PACKAGES})\n{}", log_tail(&console))
            });
        }
        if begin.elapsed() > DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            let what =
                format!("the end of the machine, whose console ends\n{}", log_tail(&console));
            return Err(LabError::Timeout { what, after: DEADLINE });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
