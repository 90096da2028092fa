//! The network namespaces of this node: whose sockets are whose.
//!
//! A namespace is entered on a thread that lives for this only and never runs anything else, because a thread that
//! cannot go back must not serve others. Processes come and go meanwhile: what has vanished is left out.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::ifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{SockaddrStorage, getsockopt};

/// Namespaces looked at in one go; a node has a few hundred pods.
pub const NAMESPACES_MAX: usize = 8192;

/// Where namespaces are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Folder of named ones: container runtimes and `ip netns` keep them there.
    pub named: PathBuf,
    /// The node's `/proc`, whose processes are in the others.
    pub proc: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self { named: "/run/netns".into(), proc: "/proc".into() }
    }
}

/// One network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// One of the files that stand for it.
    pub path: PathBuf,
    /// What programs know it by; `None` before kernel 5.14.
    pub cookie: Option<u64>,
    /// Its first global address. Of a namespace with many, such as the node's own, it may be any of them.
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
}

/// What a look at all namespaces found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    pub found: Vec<T>,
    /// Sentences, one of each namespace that could not be looked at.
    pub errors: Vec<String>,
}

mod option {
    use nix::libc;
    use nix::sys::socket::sockopt::GetStruct;

    /// `<asm-generic/socket.h>`.
    const SO_NETNS_COOKIE: libc::c_int = 71;

    /// The cookie of a socket's network namespace: kernel 5.14.
    #[derive(Copy, Clone, Debug)]
    pub(super) struct NetnsCookie;

    nix::getsockopt_impl!(NetnsCookie, libc::SOL_SOCKET, SO_NETNS_COOKIE, u64, GetStruct<u64>);
}

/// All namespaces of the node with their cookies and addresses.
///
/// # Errors
/// When no thread can be started for it.
pub fn list(places: &Places) -> io::Result<Found<Namespace>> {
    visit(places, |path| {
        let (ipv4, ipv6) = addresses().map_err(|error| format!("its addresses: {error}"))?;
        let cookie = cookie().map_err(|error| format!("its cookie: {error}"))?;
        Ok(Namespace { path: path.to_owned(), cookie, ipv4, ipv6 })
    })
}

/// Calls `inside` once in each namespace of the node. It must not start threads.
///
/// # Errors
/// When no thread can be started for it.
pub fn visit<T: Send>(
    places: &Places,
    inside: impl FnMut(&Path) -> Result<T, String> + Send,
) -> io::Result<Found<T>> {
    thread::scope(|scope| {
        let visitor = thread::Builder::new().name("namespaces".to_owned());
        let visitor = visitor.spawn_scoped(scope, || visit_here(&candidates(places), inside))?;
        visitor.join().map_err(|_| io::Error::other("the thread that enters namespaces panicked"))
    })
}

/// Leaves the calling thread in the last of them.
fn visit_here<T>(
    candidates: &[PathBuf],
    mut inside: impl FnMut(&Path) -> Result<T, String>,
) -> Found<T> {
    let mut seen = BTreeSet::new();
    let mut all = Found { found: Vec::new(), errors: Vec::new() };
    for path in candidates {
        if seen.len() >= NAMESPACES_MAX {
            all.errors.push(format!("{} and later: more than {NAMESPACES_MAX}", path.display()));
            break;
        }
        // Most processes share a namespace: to look costs less than to open.
        let Ok(metadata) = fs::metadata(path) else { continue };
        if !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        match enter(path) {
            Ok(()) => match inside(path) {
                Ok(it) => all.found.push(it),
                Err(why) => all.errors.push(format!("network namespace {}: {why}", path.display())),
            },
            Err(error) if has_vanished(&error) => {
                // Another file may stand for the same one.
                seen.remove(&(metadata.dev(), metadata.ino()));
            }
            Err(error) => all.errors.push(format!(
                "network namespace {} cannot be entered: {error}; CAP_SYS_ADMIN is needed",
                path.display()
            )),
        }
    }
    all
}

fn enter(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    setns(&file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
}

/// The process ended, or the file is one that a namespace was mounted on once.
fn has_vanished(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::ESRCH | Errno::EINVAL))
}

/// Files that stand for namespaces: the named ones first, for they outlive processes.
fn candidates(places: &Places) -> Vec<PathBuf> {
    let mut named = entries(&places.named, |_| true);
    named.sort_unstable();
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let processes = entries(&places.proc, is_process).into_iter().map(|it| it.join("ns/net"));
    named.into_iter().chain(processes).collect()
}

/// A folder that does not exist has none.
fn entries(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let wanted = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(&is_wanted);
    entries.filter_map(Result::ok).filter(wanted).map(|entry| entry.path()).collect()
}

/// Of the namespace that the thread is in.
pub fn cookie() -> io::Result<Option<u64>> {
    // A socket of any family has one, and this one is no business of programs on cgroups.
    let socket = UnixDatagram::unbound()?;
    match getsockopt(&socket, option::NetnsCookie) {
        Ok(cookie) => Ok(Some(cookie)),
        Err(Errno::ENOPROTOOPT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn addresses() -> io::Result<(Option<Ipv4Addr>, Option<Ipv6Addr>)> {
    let (mut ipv4, mut ipv6) = (None, None);
    for interface in ifaddrs::getifaddrs()? {
        if !interface.flags.contains(InterfaceFlags::IFF_UP) {
            continue;
        }
        match interface.address.as_ref().and_then(ip) {
            Some(IpAddr::V4(v4)) if is_global_v4(v4) => ipv4 = ipv4.or(Some(v4)),
            Some(IpAddr::V6(v6)) if is_global_v6(v6) => ipv6 = ipv6.or(Some(v6)),
            Some(IpAddr::V4(_) | IpAddr::V6(_)) | None => {}
        }
    }
    Ok((ipv4, ipv6))
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_link_local())
}

/// Unique local addresses (RFC 4193) count: clusters have them.
fn is_global_v6(address: Ipv6Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_unicast_link_local()
        || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_link_local_addresses_are_nobodys() {
        for address in ["127.0.0.1", "127.1.2.3", "169.254.20.10", "0.0.0.0"] {
            assert!(!is_global_v4(address.parse().unwrap()), "{address}");
        }
        for address in ["::1", "::", "fe80::1", "ff02::1"] {
            assert!(!is_global_v6(address.parse().unwrap()), "{address}");
        }
        assert!(is_global_v4("10.244.1.7".parse().unwrap()));
        assert!(is_global_v6("fd00:10::7".parse().unwrap()));
    }

    #[test]
    fn folders_that_do_not_exist_hold_no_namespace() {
        let places = Places { named: "/nonexistent/a".into(), proc: "/nonexistent/b".into() };
        assert_eq!(list(&places).unwrap(), Found { found: Vec::new(), errors: Vec::new() });
    }

    #[test]
    fn processes_that_share_a_namespace_are_one() {
        let own = fs::metadata("/proc/self/ns/net").unwrap();
        let here = [PathBuf::from("/proc/self/ns/net"), PathBuf::from("/proc/thread-self/ns/net")];
        let mut seen = BTreeSet::new();
        for path in &here {
            let metadata = fs::metadata(path).unwrap();
            seen.insert((metadata.dev(), metadata.ino()));
        }
        assert_eq!(seen, BTreeSet::from([(own.dev(), own.ino())]));
    }
}
