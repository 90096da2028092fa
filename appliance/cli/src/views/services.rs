//! Services, backends, health checks.

use spillway_admin::{BackendRow, HealthRow, ServiceBackendRow, ServiceRow};

use super::View;
use spillway_text::text::{Layout, or_dash, printable, with_reason};

impl View for ServiceRow {
    fn columns(layout: Layout) -> &'static [&'static str] {
        match layout {
            Layout::Table => &["ID", "Frontend", "Service Type", "Backend"],
            Layout::Wide => &[
                "ID",
                "Frontend",
                "Protocol",
                "Service Type",
                "Name",
                "Scheduler",
                "Flows",
                "Flows Total",
                "Refused Total",
                "Backend",
                "Weight",
                "Backend Flows",
            ],
        }
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        let first = match layout {
            Layout::Table => {
                vec![self.id.to_string(), self.frontend.to_string(), self.kind.to_string()]
            }
            Layout::Wide => vec![
                self.id.to_string(),
                self.frontend.to_string(),
                self.protocol.to_string(),
                self.kind.to_string(),
                printable(&self.name).into_owned(),
                self.scheduler.to_string(),
                layout.count(self.flows),
                layout.count(self.flows_total),
                layout.count(self.refused_total),
            ],
        };
        let mut left = first;
        let mut lines = Vec::with_capacity(self.backends.len().max(1));
        for backend in &self.backends {
            let blank = vec![String::new(); left.len()];
            let mut line = std::mem::replace(&mut left, blank);
            line.extend(backend_cells(backend, layout));
            lines.push(line);
        }
        if lines.is_empty() {
            left.resize(Self::columns(layout).len(), String::new());
            lines.push(left);
        }
        lines
    }
}

fn backend_cells(backend: &ServiceBackendRow, layout: Layout) -> Vec<String> {
    let state = with_reason(backend.state, backend.reason.as_deref());
    let mut cells = vec![format!("{} => {} ({state})", backend.index, backend.address)];
    match layout {
        Layout::Table => {}
        Layout::Wide => cells.extend([backend.weight.to_string(), layout.count(backend.flows)]),
    }
    cells
}

impl View for BackendRow {
    fn columns(layout: Layout) -> &'static [&'static str] {
        match layout {
            Layout::Table => &["Backend", "State", "Since", "Flows", "Services"],
            Layout::Wide => {
                &["Backend", "Protocol", "State", "Since", "Weight", "Flows", "Services"]
            }
        }
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        let state = with_reason(self.state, self.reason.as_deref());
        let services = printable(&self.services.join(", ")).into_owned();
        let since = layout.seconds(self.since_seconds);
        let flows = layout.count(self.flows);
        vec![match layout {
            Layout::Table => vec![self.address.to_string(), state, since, flows, services],
            Layout::Wide => vec![
                self.address.to_string(),
                self.protocol.to_string(),
                state,
                since,
                self.weight.to_string(),
                flows,
                services,
            ],
        }]
    }
}

impl View for HealthRow {
    fn columns(layout: Layout) -> &'static [&'static str] {
        match layout {
            Layout::Table => &["Service", "Backend", "Check", "State", "Last Check", "Last Error"],
            Layout::Wide => &[
                "Service",
                "Backend",
                "Check",
                "Target",
                "State",
                "Last Check",
                "Latency",
                "Successes",
                "Failures",
                "Transitions",
                "Interval",
                "Timeout",
                "Fall",
                "Rise",
                "Last Error",
            ],
        }
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        let ago = |seconds| format!("{} ago", layout.seconds(seconds));
        let mut cells = vec![
            printable(&self.service).into_owned(),
            self.backend.to_string(),
            self.kind.to_string(),
        ];
        let state = self.state.to_string();
        let last_check = or_dash(self.last_check_seconds_ago.map(ago));
        match layout {
            Layout::Table => cells.extend([state, last_check]),
            Layout::Wide => cells.extend([
                printable(&self.target).into_owned(),
                state,
                last_check,
                or_dash(self.last_latency_micros.map(|micros| format!("{micros}us"))),
                self.successes.to_string(),
                self.failures.to_string(),
                self.transitions.to_string(),
                format!("{}ms", self.interval_millis),
                format!("{}ms", self.timeout_millis),
                self.fall.to_string(),
                self.rise.to_string(),
            ]),
        }
        cells.push(or_dash(self.last_error.as_deref().map(printable)));
        vec![cells]
    }
}
