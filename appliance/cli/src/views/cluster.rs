//! The cluster: nodes, pools, what is not served, and the lists that were held.

use spillway_admin::{AcceptedRow, HealthState, NodeRow, PoolRow, RefusedRow};

use super::View;
use spillway_text::text::{Layout, list, or_dash, percent, printable, with_reason};

impl View for RefusedRow {
    fn columns(_: Layout) -> &'static [&'static str] {
        &["Service", "Port", "Service Type", "Reason", "Message"]
    }

    fn lines(&self, _: Layout) -> Vec<Vec<String>> {
        vec![vec![
            printable(&self.service).into_owned(),
            or_dash(self.port.as_deref().map(printable)),
            or_dash(self.kind),
            printable(&self.reason).into_owned(),
            printable(&self.message).into_owned(),
        ]]
    }
}

impl View for NodeRow {
    fn columns(layout: Layout) -> &'static [&'static str] {
        match layout {
            Layout::Table => &["Name", "Addresses", "Eligible", "Kube-Proxy", "Services"],
            Layout::Wide => {
                &["Name", "Addresses", "Eligible", "Kube-Proxy", "Services", "Ready", "Pod CIDRs"]
            }
        }
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let mut cells = vec![
            printable(&self.name).into_owned(),
            list(&addresses),
            with_reason(yes_no(self.eligible), self.reason.as_deref()),
            self.kube_proxy(),
            layout.count(self.services.into()),
        ];
        match layout {
            Layout::Table => {}
            Layout::Wide => cells.extend([or_dash(self.ready.map(yes_no)), list(&self.pod_cidrs)]),
        }
        vec![cells]
    }
}

/// What the check of the node's kube-proxy says, in one cell.
trait KubeProxy {
    fn kube_proxy(&self) -> String;
}

impl KubeProxy for NodeRow {
    fn kube_proxy(&self) -> String {
        match self.kube_proxy {
            Some(HealthState::Down) => {
                with_reason(HealthState::Down, self.kube_proxy_error.as_deref())
            }
            Some(state @ (HealthState::Up | HealthState::Unknown)) => state.to_string(),
            None => or_dash::<String>(None),
        }
    }
}

impl View for PoolRow {
    fn columns(layout: Layout) -> &'static [&'static str] {
        match layout {
            Layout::Table => &["Name", "Addresses", "Size", "Used", "Share", "Auto Assign"],
            Layout::Wide => &[
                "Name",
                "Addresses",
                "Size",
                "Used",
                "Share",
                "Auto Assign",
                "Priority",
                "Namespaces",
                "Labels",
            ],
        }
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        let mut cells = vec![
            printable(&self.name).into_owned(),
            list(&self.addresses),
            layout.count(self.size),
            layout.count(self.used),
            percent(self.used, self.size),
            yes_no(self.auto_assign).to_owned(),
        ];
        match layout {
            Layout::Table => {}
            Layout::Wide => cells.extend([
                self.priority.to_string(),
                list(&self.namespaces),
                list(&self.labels),
            ]),
        }
        vec![cells]
    }
}

impl View for AcceptedRow {
    fn columns(_: Layout) -> &'static [&'static str] {
        &["Kind", "Objects Before", "Objects"]
    }

    fn lines(&self, layout: Layout) -> Vec<Vec<String>> {
        vec![vec![
            self.kind.to_string(),
            layout.count(self.objects_before),
            layout.count(self.objects),
        ]]
    }
}

const fn yes_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}
