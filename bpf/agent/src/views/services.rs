//! `service list`: every frontend with its backends, in the shape of `cilium service list`.
//!
//! A frontend that serves packets from outside by other backends than the clients of this node has a second line for
//! them, marked `/x`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;
use spillway_admin::ServiceFilter;
use spillway_text::text::{Layout, or_dash, printable};

use super::{View, protocol_name};
use crate::layout::{
    BACKEND_LOCAL, BACKEND_TERMINATING, Backend, FRONTEND_ELSEWHERE, FRONTEND_GUARDED,
    FRONTEND_HOST_ONLY, FRONTEND_LOCAL, FRONTEND_MAGLEV, FRONTEND_TERMINATING, Frontend,
    FrontendKey, SCOPE_EXTERNAL, SCOPE_INTERNAL,
};
use crate::ledger::Range;
use crate::names::Names;

/// A backend of a frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendRow {
    /// In this list, from 1 on.
    pub index: u32,
    pub address: SocketAddr,
    /// `active`, or `terminating`.
    pub state: &'static str,
    /// On this node.
    pub local: bool,
}

/// A frontend, or one of the two that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceRow {
    pub id: u32,
    pub frontend: SocketAddr,
    pub protocol: String,
    /// `internal`, `external`, or `both`.
    pub scope: &'static str,
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Number of the service.
    pub service: u32,
    /// `null` when the agent's file of names is not there.
    pub name: Option<String>,
    /// `random`, or `maglev`.
    pub scheduler: &'static str,
    /// Seconds; `null` without affinity.
    pub affinity: Option<u32>,
    pub flags: Vec<&'static str>,
    pub backends: Vec<BackendRow>,
}

/// The lines of all frontends, sorted by id. `choices` reads a range of that map, `backend` a row.
pub fn rows(
    frontends: Vec<(FrontendKey, Frontend)>,
    mut choices: impl FnMut(Range) -> Option<Vec<u32>>,
    mut backend: impl FnMut(u32) -> Option<Backend>,
    names: &Names,
    filter: &ServiceFilter,
) -> Vec<ServiceRow> {
    let mut rows: BTreeMap<(u32, FrontendKey), ServiceRow> = BTreeMap::new();
    let is_any = *filter == ServiceFilter::default();
    for (key, frontend) in frontends {
        let name = names.get(frontend.service);
        if is_any || name.is_some_and(|name| filter.matches(name)) {
            let row = row(&key, &frontend, name, &mut choices, &mut backend);
            rows.insert((frontend.id, key), row);
        }
    }
    merged(rows)
}

/// Both scopes in one line where they are the same.
fn merged(mut rows: BTreeMap<(u32, FrontendKey), ServiceRow>) -> Vec<ServiceRow> {
    let external: Vec<(u32, FrontendKey)> =
        rows.keys().filter(|(_, key)| key.scope == SCOPE_EXTERNAL).copied().collect();
    for at @ (id, key) in external {
        let inner = (id, FrontendKey { scope: SCOPE_INTERNAL, ..key });
        let is_same = rows.get(&inner).zip(rows.get(&at)).is_some_and(|(inner, outer)| {
            inner.backends == outer.backends && inner.flags == outer.flags
        });
        if is_same {
            rows.remove(&at);
            if let Some(row) = rows.get_mut(&inner) {
                row.scope = "both";
            }
        }
    }
    rows.into_values().collect()
}

fn row(
    key: &FrontendKey,
    frontend: &Frontend,
    name: Option<&str>,
    choices: &mut impl FnMut(Range) -> Option<Vec<u32>>,
    backend: &mut impl FnMut(u32) -> Option<Backend>,
) -> ServiceRow {
    let range = Range { first: frontend.first, count: frontend.count };
    let mut indices =
        if range.count == 0 { Vec::new() } else { choices(range).unwrap_or_default() };
    indices.sort_unstable();
    indices.dedup();
    let mut backends: Vec<Backend> = indices.into_iter().filter_map(backend).collect();
    // What became another's since the choices were read is no backend of this one.
    backends.retain(|backend| backend.service == frontend.service && backend.state != 0);
    backends.sort_unstable_by_key(|backend| (backend.address, u16::from(backend.port)));
    let backends = (1u32..).zip(backends).map(|(index, backend)| BackendRow {
        index,
        address: backend.socket(),
        state: if backend.state == BACKEND_TERMINATING { "terminating" } else { "active" },
        local: backend.flags & BACKEND_LOCAL != 0,
    });
    let has = |flag: u16| frontend.flags & flag != 0;
    let flags = [
        (FRONTEND_GUARDED, "guarded"),
        (FRONTEND_TERMINATING, "terminating"),
        (FRONTEND_LOCAL, "local"),
        (FRONTEND_HOST_ONLY, "host-only"),
        (FRONTEND_ELSEWHERE, "elsewhere"),
    ];
    ServiceRow {
        id: frontend.id,
        frontend: key.socket(),
        protocol: protocol_name(key.protocol),
        scope: if key.scope == SCOPE_EXTERNAL { "external" } else { "internal" },
        kind: kind_name(frontend.kind),
        service: frontend.service,
        name: name.map(str::to_owned),
        scheduler: if has(FRONTEND_MAGLEV) { "maglev" } else { "random" },
        affinity: (frontend.affinity_s > 0).then_some(frontend.affinity_s),
        flags: flags.into_iter().filter(|(flag, _)| has(*flag)).map(|(_, word)| word).collect(),
        backends: backends.collect(),
    }
}

/// As `spillway service list` has it.
const fn kind_name(kind: u8) -> &'static str {
    match kind {
        0 => "ClusterIP",
        1 => "NodePort",
        2 => "LoadBalancer",
        3 => "ExternalIP",
        _ => "unknown",
    }
}

impl View for ServiceRow {
    const KEY: &'static str = "services";

    fn columns(layout: Layout) -> &'static [&'static str] {
        match layout {
            Layout::Table => &["ID", "Frontend", "Service Type", "Backend"],
            Layout::Wide => &[
                "ID",
                "Frontend",
                "Protocol",
                "Scope",
                "Service Type",
                "Name",
                "Service",
                "Scheduler",
                "Affinity",
                "Flags",
                "Backend",
            ],
        }
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        let mark = if self.scope == "external" { "/x" } else { "" };
        let frontend = format!("{}{mark}", self.frontend);
        let mut left = match layout {
            Layout::Table => vec![self.id.to_string(), frontend, self.kind.to_owned()],
            Layout::Wide => vec![
                self.id.to_string(),
                frontend,
                self.protocol.clone(),
                self.scope.to_owned(),
                self.kind.to_owned(),
                or_dash(self.name.as_deref().map(printable)),
                self.service.to_string(),
                self.scheduler.to_owned(),
                or_dash(self.affinity.map(|seconds| layout.seconds(seconds.into()))),
                or_dash((!self.flags.is_empty()).then(|| self.flags.join(","))),
            ],
        };
        let mut lines = Vec::with_capacity(self.backends.len().max(1));
        for backend in &self.backends {
            let BackendRow { index, address, state, local } = backend;
            let place = if *local && layout == Layout::Wide { ", local" } else { "" };
            let blank = vec![String::new(); left.len()];
            let mut line = std::mem::replace(&mut left, blank);
            line.push(format!("{index} => {address} ({state}{place})"));
            lines.push(line);
        }
        if lines.is_empty() {
            left.push(String::new());
            lines.push(left);
        }
        lines
    }
}
