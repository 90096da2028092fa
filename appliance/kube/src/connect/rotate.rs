//! Keeps a working client in the link: builds the first one, and new ones when credentials change on disk.
//!
//! A new client takes over only when the API server has accepted it. kube reads neither a client certificate nor
//! a token in a kubeconfig again, so all files are watched here, by content: kubelet's and cert-manager's way of
//! swapping a symlink changes no time that could be relied on.

use std::hash::Hasher;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use siphasher::sip128::{Hasher128, SipHasher13};
use spillway_cluster::Access;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::connect::access::{self, AccessError, Pod};
use crate::connect::call::{self, Failure};
use crate::connect::client::{self, Endpoint};
use crate::connect::link::{Link, Live};
use crate::settings::Clockwork;

/// The task that owns the credentials.
pub(crate) struct Keeper {
    access: Access,
    pod: Pod,
    clockwork: Clockwork,
    link: Arc<Link>,
    version: watch::Sender<Option<String>>,
    /// Of the files that the present client was built of.
    fingerprint: Option<u128>,
    built: Option<Instant>,
    /// What was complained about last; said once.
    complaint: Option<String>,
}

impl Keeper {
    pub(crate) fn new(
        access: Access,
        pod: Pod,
        clockwork: Clockwork,
        link: Arc<Link>,
        version: watch::Sender<Option<String>>,
    ) -> Self {
        Self {
            access,
            pod,
            clockwork,
            link,
            version,
            fingerprint: None,
            built: None,
            complaint: None,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut is_refused = false;
        loop {
            self.look(is_refused).await;
            tokio::select! {
                () = sleep(self.clockwork.rotation_every) => is_refused = false,
                () = self.link.unauthorized() => is_refused = true,
            }
        }
    }

    /// Looks at the files, and builds a client if they have changed, or if the present one was refused: an
    /// exec plugin may have new credentials that no file shows.
    async fn look(&mut self, is_refused: bool) {
        let (access, pod) = (self.access.clone(), self.pod.clone());
        let now = spawn_blocking(move || fingerprint(&access::files(&access, &pod))).await.ok();
        // A plugin is not run again and again for an account that is simply not welcome.
        let is_stale = self.built.is_none_or(|at| at.elapsed() >= self.clockwork.backoff_max);
        if now == self.fingerprint && self.link.live().is_some() && !(is_refused && is_stale) {
            return self.ask_version().await;
        }
        match self.build().await {
            Ok(endpoints) => self.take_over(endpoints, now).await,
            Err(error) => {
                let text = error.to_string();
                self.link.set_error(text.clone());
                self.complain(text);
            }
        }
    }

    async fn build(&mut self) -> Result<Vec<Endpoint>, AccessError> {
        self.built = Some(Instant::now());
        let (access, pod) = (self.access.clone(), self.pod.clone());
        let connect_timeout = self.clockwork.connect_timeout;
        let building = spawn_blocking(move || {
            let plan = access::plan(&access, &pod)?;
            client::build(&plan, connect_timeout)
        });
        match building.await {
            Ok(built) => built,
            Err(error) => Err(AccessError::Credentials {
                origin: "the credentials".to_owned(),
                what: "cannot be loaded",
                cause: error.to_string(),
            }),
        }
    }

    async fn take_over(&mut self, endpoints: Vec<Endpoint>, fingerprint: Option<u128>) {
        let Some(live) = self.link.live() else {
            // Nothing to lose: no proof is needed.
            self.link.replace(endpoints, None);
            self.fingerprint = fingerprint;
            self.complaint = None;
            return self.ask_version().await;
        };
        // The endpoint in use is asked first.
        let (first, others): (Vec<_>, Vec<_>) =
            endpoints.iter().cloned().partition(|endpoint| endpoint.url == live.url);
        let mut last = None;
        for endpoint in first.into_iter().chain(others) {
            let url = Arc::clone(&endpoint.url);
            match prove(&Live::to(endpoint), &self.clockwork).await {
                Ok(version) => {
                    tracing::info!("new credentials are in use");
                    self.link.replace(endpoints, Some(&url));
                    self.fingerprint = fingerprint;
                    self.complaint = None;
                    self.version.send_replace(version);
                    return;
                }
                Err(failure) => last = Some(failure),
            }
        }
        let why = last.map(|failure| failure.text().to_owned()).unwrap_or_default();
        self.complain(format!("new credentials are not used, the old ones stay: {why}"));
    }

    async fn ask_version(&self) {
        if self.version.borrow().is_some() {
            return;
        }
        if let Some(live) = self.link.live()
            && let Ok(version) = prove(&live, &self.clockwork).await
        {
            self.version.send_replace(version);
        }
    }

    fn complain(&mut self, text: String) {
        if self.complaint.as_ref() != Some(&text) {
            tracing::warn!("{text}");
            self.complaint = Some(text);
        }
    }
}

/// Asks for something that any account may see. 403 is proof too: whoever we are, we are somebody.
async fn prove(live: &Live, clockwork: &Clockwork) -> Result<Option<String>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        git_version: String,
    }
    let request = http::Request::get("/version").body(Vec::new());
    let request = request.map_err(|error| Failure::broken(live, error))?;
    match call::whole(live, request, clockwork.answer_timeout).await {
        Ok(answer) => {
            let version = serde_json::from_slice::<Version>(&answer);
            Ok(version.ok().map(|version| version.git_version))
        }
        Err(failure) if failure.code() == Some(403) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Of the contents of all files, missing ones included.
fn fingerprint(files: &[PathBuf]) -> u128 {
    let mut hasher = SipHasher13::new();
    for file in files {
        hasher.write(file.as_os_str().as_encoded_bytes());
        match std::fs::read(file) {
            Ok(content) => {
                hasher.write_usize(content.len());
                hasher.write(&content);
            }
            Err(_) => hasher.write_u8(0),
        }
    }
    hasher.finish128().as_u128()
}
