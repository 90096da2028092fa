//! What the tests of this crate share: a server on a socket, and programs of others.

#![allow(dead_code, reason = "every test links all of it and uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spillway_apiserver::pki::{Ca, Credentials, Validity, kubeconfig};
use spillway_apiserver::tls::{self, Listening};
use spillway_apiserver::{ApiServer, Options};

/// A server on a socket of the loopback, with a folder for kubeconfigs.
pub(crate) struct Served {
    pub(crate) server: ApiServer,
    pub(crate) listening: Listening,
    pub(crate) ca: Ca,
    pub(crate) folder: PathBuf,
}

impl Served {
    pub(crate) async fn start(name: &str) -> Self {
        Self::with(name, Options::default()).await
    }

    pub(crate) async fn with(name: &str, options: Options) -> Self {
        let folder = target().join(format!("apiserver-tests/{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let server = ApiServer::new(options);
        let ca = Ca::new("test CA").unwrap();
        let pair = ca.server(&["127.0.0.1", "localhost"], Validity::Good).unwrap();
        let config = tls::config(&pair, ca.pem()).unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let listening = Listening::start(&server, address, config).await.unwrap();
        Self { server, listening, ca, folder }
    }

    /// A kubeconfig of a user with a client certificate.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        let pair = self.ca.client(user, &["system:masters"], Validity::Good).unwrap();
        self.kubeconfig_with(user, &Credentials::Certificate(pair))
    }

    pub(crate) fn kubeconfig_with(&self, name: &str, credentials: &Credentials) -> PathBuf {
        let path = self.folder.join(format!("{name}.kubeconfig"));
        let text = kubeconfig(&self.listening.url(), self.ca.pem(), credentials);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Cargo's target directory: the parent of where this test's binary is.
pub(crate) fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().to_owned()
}

/// A LoadBalancer service with one port.
pub(crate) fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"type": "LoadBalancer", "selector": {"app": name},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
}

/// Runs a program to its end; its output and whether it went well.
pub(crate) fn run(command: &mut Command, limit: Duration) -> (String, bool) {
    let shown = format!("{command:?}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|e| panic!("cannot run {shown}: {e}"));
    let out = reader(child.stdout.take().unwrap());
    let err = reader(child.stderr.take().unwrap());
    let started = Instant::now();
    let is_fine = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.success();
        }
        if started.elapsed() > limit {
            child.kill().ok();
            panic!("{shown} takes longer than {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    (format!("{}{}", out.join().unwrap(), err.join().unwrap()), is_fine)
}

/// Reads a pipe beside, so that a full one does not stop the program.
fn reader(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).ok();
        text
    })
}

/// Where the recordings are.
pub(crate) fn recorded(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(folder)
}
