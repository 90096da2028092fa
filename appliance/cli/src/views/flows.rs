//! Flows and SNAT ports.

use spillway_admin::{ConntrackRow, SnatRow};

use super::View;
use spillway_text::text::{Layout, or_dash, percent, printable};

impl View for ConntrackRow {
    fn columns(layout: Layout) -> &'static [&'static str] {
        const ALL: &[&str] = &[
            "Protocol", "Client", "Frontend", "SNAT", "Backend", "State", "Idle", "Expires",
            "Worker", "Service",
        ];
        match layout {
            Layout::Table => ALL.split_at(8).0,
            Layout::Wide => ALL,
        }
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        let mut cells = vec![
            self.protocol.to_string(),
            self.client.to_string(),
            self.frontend.to_string(),
            self.snat.to_string(),
            self.backend.to_string(),
            self.state.to_string(),
            layout.seconds(self.idle_seconds),
            layout.seconds(self.expires_seconds),
        ];
        match layout {
            Layout::Table => {}
            Layout::Wide => cells
                .extend([self.worker.to_string(), or_dash(self.service.as_deref().map(printable))]),
        }
        vec![cells]
    }
}

impl View for SnatRow {
    fn columns(_: Layout) -> &'static [&'static str] {
        &["SNAT Address", "Ports", "Protocol", "Backend", "In Use", "Capacity", "Used"]
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        vec![vec![
            self.address.to_string(),
            self.ports.to_string(),
            or_dash(self.protocol),
            or_dash(self.backend),
            layout.count(self.in_use.into()),
            layout.count(self.capacity.into()),
            percent(self.in_use.into(), self.capacity.into()),
        ]]
    }
}
