//! Telling events, at the pace that the recorder allows. One that cannot be told is forgotten: it is news, not
//! state.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch as Body, PatchParams, PostParams};
use kube::core::Request;
use spillway_cluster::events::{Draft, EventWrite, Recorder};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::connect::call;
use crate::connect::link::Link;
use crate::settings::Clockwork;

/// The task that tells.
pub(crate) struct Teller {
    pub(crate) link: Arc<Link>,
    pub(crate) clockwork: Clockwork,
    pub(crate) recorder: Recorder,
    pub(crate) drafts: mpsc::Receiver<Draft>,
    /// The recorder's clock began here.
    pub(crate) start: Instant,
}

impl Teller {
    pub(crate) async fn run(mut self) {
        let mut is_forbidden = false;
        while let Some(draft) = self.drafts.recv().await {
            let now = self.start.elapsed();
            let Some(write) = self.recorder.record(draft, now, &utc()) else { continue };
            match self.tell(&write).await {
                Some(403) if !is_forbidden => {
                    tracing::warn!("events are not told: the account may not write them (403)");
                    is_forbidden = true;
                }
                Some(404) => {
                    if let EventWrite::Count { name, .. } = &write {
                        self.recorder.forget(name);
                    }
                }
                None => is_forbidden = false,
                Some(_) => {}
            }
        }
    }

    /// The code of the error, if it is one; 0 when there was no answer.
    async fn tell(&self, write: &EventWrite) -> Option<u16> {
        let to = |namespace: &str| Request::new(format!("/api/v1/namespaces/{namespace}/events"));
        let request = match write {
            EventWrite::Create { namespace, body } => {
                to(namespace).create(&PostParams::default(), body.to_string().into_bytes())
            }
            EventWrite::Count { namespace, name, body } => {
                to(namespace).patch(name, &PatchParams::default(), &Body::Merge(body))
            }
        };
        let (Ok(request), Some(live)) = (request, self.link.live()) else { return Some(0) };
        let answer = call::whole(&live, request, self.clockwork.answer_timeout).await;
        answer.err().map(|failure| failure.code().unwrap_or(0))
    }
}

/// Now, as the API writes it: six digits of fraction and `Z`, which MicroTime demands and Time takes.
pub fn utc() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_time_has_six_digits_of_fraction() {
        let text = super::utc();
        assert_eq!(
            (text.len(), text.as_bytes()[19], text.as_bytes()[26]),
            (27, b'.', b'Z'),
            "{text}"
        );
    }
}
