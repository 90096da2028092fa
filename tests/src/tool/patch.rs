//! A Kubernetes client that patches one object per line and says when it did.

use std::io::{self, Write};
use std::path::PathBuf;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use spillway_tests::report::Patched;

use crate::steps::{Steps, unix_nanos};

/// Each line is `PATH BODY`: a merge patch.
pub(crate) async fn run(kubeconfig: PathBuf) -> io::Result<()> {
    let config = Kubeconfig::read_from(kubeconfig).map_err(io::Error::other)?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options).await;
    let client = Client::try_from(config.map_err(io::Error::other)?).map_err(io::Error::other)?;
    let mut steps = Steps::from_stdin();
    while let Some(line) = steps.next().await {
        let Some((path, body)) = line.split_once(' ') else {
            return Err(io::Error::other(format!("not `PATH BODY`: {line}")));
        };
        let request = http::Request::patch(path)
            .header("Content-Type", "application/merge-patch+json")
            .body(body.as_bytes().to_vec())
            .map_err(io::Error::other)?;
        let sent_ns = unix_nanos();
        client.request_text(request).await.map_err(io::Error::other)?;
        let report = Patched { sent_ns, answered_ns: unix_nanos() };
        let line = serde_json::to_string(&report).map_err(io::Error::other)?;
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()?;
    }
    Ok(())
}
