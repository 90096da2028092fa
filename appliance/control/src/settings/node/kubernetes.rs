//! Reads a node's `[kubernetes]`.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use spillway_cluster::Access;
use spillway_lb::model::Scheduler;

use super::super::form;
use super::super::health::{HOLD_MAX, read_duration};
use super::super::kubernetes::read_access;
use super::super::section::Section;
use super::super::service::SCHEDULERS;
use super::types::NodeKubernetes;

#[derive(Debug)]
pub(super) struct KubernetesDraft {
    /// `None` after a mistake.
    access: Option<Access>,
    cache: Option<PathBuf>,
    idle_timeout: Duration,
    shrink_hold: Duration,
    pub(super) scheduler: Option<Scheduler>,
    pub(super) external_ips: Vec<IpNet>,
}

pub(super) fn read(mut section: Section<'_>) -> KubernetesDraft {
    let access = read_access(&mut section);
    let scheduler = section.choice("scheduler", &SCHEDULERS);
    let external_ips = section.parse_list("external_ips", form::NETWORK);
    let cache = section.parse("cache", form::OPTIONAL_PATH);
    // As on the box: bookmarks come once a minute at best; what is silent for an hour is dead.
    let idle = Duration::from_millis(100)..=Duration::from_hours(1);
    let idle_timeout = read_duration(&mut section, "idle_timeout", idle);
    let shrink_hold = read_duration(&mut section, "shrink_hold", Duration::ZERO..=HOLD_MAX);
    section.finish_with(|key| {
        let is_of_the_box = ["class", "classless", "mode", "write_status", "lease", "identity"];
        is_of_the_box.contains(&key).then(|| {
            format!("`{key}` is for the box; a node serves every Service and writes nothing")
        })
    });
    let external_ips = external_ips.map(|ranges| ranges.items).unwrap_or_default();
    KubernetesDraft {
        access,
        cache: cache
            .map_or_else(|| Some("/var/lib/spillway-node/cluster.json".into()), |path| path.value),
        idle_timeout: idle_timeout.map_or(Duration::from_secs(30), |timeout| timeout.value),
        shrink_hold: shrink_hold.map_or(Duration::from_secs(30), |hold| hold.value),
        scheduler: scheduler.map(|said| said.value),
        external_ips: external_ips.into_iter().map(|net| net.value).collect(),
    }
}

impl KubernetesDraft {
    /// `None` if something could not be read, which is a mistake.
    pub(super) fn into_settings(self) -> Option<NodeKubernetes> {
        Some(NodeKubernetes {
            access: self.access?,
            cache: self.cache,
            idle_timeout: self.idle_timeout,
            shrink_hold: self.shrink_hold,
        })
    }
}
