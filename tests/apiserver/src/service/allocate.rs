//! Cluster addresses and node ports, out of ranges.
//!
//! The real server draws at random; this one counts up from where the real one's "dynamic" band
//! begins, so that a test reads the same every time.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::{kind_of, needs_health_check, needs_node_ports};
use crate::json;
use crate::status::{Cause, Status};

/// A range of cluster addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub base: IpAddr,
    pub prefix: u8,
}

impl Cidr {
    fn family(&self) -> &'static str {
        if self.base.is_ipv4() { "IPv4" } else { "IPv6" }
    }

    fn nth(&self, n: u32) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => Ipv4Addr::from_bits(base.to_bits().saturating_add(n)).into(),
            IpAddr::V6(base) => {
                Ipv6Addr::from_bits(base.to_bits().saturating_add(u128::from(n))).into()
            }
        }
    }

    fn size(&self) -> u32 {
        let bits = if self.base.is_ipv4() { 32 } else { 128 };
        1_u32 << (bits - u32::from(self.prefix)).min(20)
    }

    fn contains(&self, address: IpAddr) -> bool {
        let offset = match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                u128::from(address.to_bits()).checked_sub(u128::from(base.to_bits()))
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                address.to_bits().checked_sub(base.to_bits())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        };
        offset.is_some_and(|offset| (1..u128::from(self.size())).contains(&offset))
    }
}

/// Out of what is allocated: the flags `--service-cluster-ip-range` and `--service-node-port-range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// The first one's family is what a service gets that asks for none.
    pub addresses: Vec<Cidr>,
    pub node_ports: RangeInclusive<u16>,
}

impl Default for Ranges {
    fn default() -> Self {
        let base = Ipv4Addr::new(10, 96, 0, 0).into();
        Self { addresses: vec![Cidr { base, prefix: 16 }], node_ports: 30_000..=32_767 }
    }
}

impl Ranges {
    /// The ranges of a dual-stack cluster, as in the recordings.
    pub fn dual_stack() -> Self {
        let base = Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0).into();
        let mut ranges = Self::default();
        ranges.addresses.push(Cidr { base, prefix: 112 });
        ranges
    }
}

/// What is taken.
#[derive(Debug, Default)]
pub struct Allocator {
    ranges: Ranges,
    addresses: BTreeSet<IpAddr>,
    ports: BTreeSet<u16>,
    /// Where the search for a free address of each family goes on.
    next_address: [u32; 2],
    next_port: u16,
}

/// What one service holds.
fn held(service: &Value) -> (BTreeSet<IpAddr>, BTreeSet<u16>) {
    let addresses = json::list(service, &["spec", "clusterIPs"])
        .iter()
        .filter_map(|ip| ip.as_str()?.parse().ok())
        .collect();
    let ports =
        json::list(service, &["spec", "ports"]).iter().filter_map(|port| port.get("nodePort"));
    let check = json::at(service, &["spec", "healthCheckNodePort"]);
    let ports = ports.chain(check).filter_map(as_port).collect();
    (addresses, ports)
}

fn as_port(value: &Value) -> Option<u16> {
    u16::try_from(value.as_u64()?).ok()
}

fn refused(service: &Value, cause: Cause) -> Status {
    let name = json::text(service, &["metadata", "name"]).unwrap_or_default();
    Status::invalid("", "Service", name, &[cause])
}

impl Allocator {
    pub fn new(ranges: Ranges) -> Self {
        Self { ranges, ..Self::default() }
    }

    /// Gives the service what it lacks, and takes back what `old` had and it has no more.
    /// When it fails, nothing has changed.
    pub fn assign(&mut self, service: &mut Value, old: Option<&Value>) -> Result<(), Status> {
        let (old_addresses, old_ports) = old.map(held).unwrap_or_default();
        self.assign_families(service)?;
        let mut addresses = BTreeSet::new();
        self.assign_addresses(service, &old_addresses, &mut addresses)?;
        let mut ports = BTreeSet::new();
        if needs_node_ports(service) {
            self.assign_node_ports(service, &old_ports, &mut ports)?;
        }
        self.check_requested_ports(service, &old_ports)?;
        if needs_health_check(service)
            && json::at(service, &["spec", "healthCheckNodePort"]).is_none()
        {
            let port = self.free_port(&ports)?;
            json::set(service, &["spec", "healthCheckNodePort"], port.into());
        }
        if let Some(old) = old {
            self.release(old);
        }
        let (addresses, ports) = held(service);
        self.addresses.extend(addresses);
        self.ports.extend(ports);
        Ok(())
    }

    /// Takes back everything that a deleted service had.
    pub fn release(&mut self, service: &Value) {
        let (addresses, ports) = held(service);
        self.addresses.retain(|address| !addresses.contains(address));
        self.ports.retain(|port| !ports.contains(port));
    }

    fn assign_families(&self, service: &mut Value) -> Result<(), Status> {
        if kind_of(service) == "ExternalName" {
            return Ok(());
        }
        json::default(service, &["spec", "ipFamilyPolicy"], "SingleStack");
        let policy =
            json::text(service, &["spec", "ipFamilyPolicy"]).unwrap_or_default().to_owned();
        let available: Vec<&str> = self.ranges.addresses.iter().map(Cidr::family).collect();
        let mut families: Vec<String> = json::list(service, &["spec", "ipFamilies"])
            .iter()
            .filter_map(|family| family.as_str().map(Into::into))
            .collect();
        let given = json::list(service, &["spec", "clusterIPs"]).to_vec();
        let single = json::at(service, &["spec", "clusterIP"]).cloned();
        if families.is_empty() {
            let ips = if given.is_empty() { single.into_iter().collect() } else { given };
            let of = |ip: &Value| {
                let ip: IpAddr = ip.as_str()?.parse().ok()?;
                Some(if ip.is_ipv4() { "IPv4".to_owned() } else { "IPv6".to_owned() })
            };
            families = ips.iter().filter_map(of).collect();
        }
        if families.is_empty() {
            families.extend(available.first().map(|family| (*family).to_owned()));
        }
        if policy == "RequireDualStack" && available.len() < 2 {
            let why = "this cluster is not configured for dual-stack services";
            let cause = Cause::invalid("spec.ipFamilyPolicy", &json!(policy), why);
            return Err(refused(service, cause));
        }
        if policy == "SingleStack" {
            families.truncate(1);
        } else {
            for family in &available {
                if !families.iter().any(|known| known == family) {
                    families.push((*family).into());
                }
            }
        }
        if let Some(unknown) = families.iter().find(|f| !available.contains(&f.as_str())) {
            let why = "not configured on this cluster";
            let cause = Cause::invalid("spec.ipFamilies[0]", &json!(unknown), why);
            return Err(refused(service, cause));
        }
        json::set(service, &["spec", "ipFamilies"], json!(families));
        Ok(())
    }

    fn assign_addresses(
        &mut self,
        service: &mut Value,
        old: &BTreeSet<IpAddr>,
        new: &mut BTreeSet<IpAddr>,
    ) -> Result<(), Status> {
        let is_headless = json::text(service, &["spec", "clusterIP"]) == Some("None");
        if kind_of(service) == "ExternalName" || is_headless {
            return Ok(());
        }
        let families = json::list(service, &["spec", "ipFamilies"]).to_vec();
        let mut given = json::list(service, &["spec", "clusterIPs"]).to_vec();
        if let (true, Some(single)) = (given.is_empty(), json::at(service, &["spec", "clusterIP"]))
        {
            given.push(single.clone());
        }
        let mut all = Vec::new();
        for (n, family) in families.iter().enumerate() {
            let family = family.as_str().unwrap_or_default();
            let address = match given.get(n).and_then(Value::as_str) {
                Some(text) => self.requested_address(service, text, old)?,
                None => self.free_address(family, new)?,
            };
            new.insert(address);
            all.push(Value::from(address.to_string()));
        }
        json::set(service, &["spec", "clusterIP"], all.first().cloned().unwrap_or_default());
        json::set(service, &["spec", "clusterIPs"], Value::Array(all));
        Ok(())
    }

    fn requested_address(
        &self,
        service: &Value,
        text: &str,
        old: &BTreeSet<IpAddr>,
    ) -> Result<IpAddr, Status> {
        let invalid =
            |why: String| refused(service, Cause::invalid("spec.clusterIPs", &json!([text]), &why));
        let address: IpAddr = text.parse().map_err(|_| {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            refused(service, Cause::invalid("spec.clusterIPs[0]", &json!(text), why))
        })?;
        let Some(range) = self.ranges.addresses.iter().find(|range| range.contains(address)) else {
            let ranges: Vec<String> = self
                .ranges
                .addresses
                .iter()
                .map(|range| format!("{}/{}", range.base, range.prefix))
                .collect();
            return Err(invalid(format!(
                "failed to allocate IP {text}: the provided IP ({text}) is not in the valid range. \
                 The range of valid IPs is {}",
                ranges.join(", ")
            )));
        };
        debug_assert!(range.contains(address), "found by that");
        if self.addresses.contains(&address) && !old.contains(&address) {
            let why = format!("failed to allocate IP {text}: provided IP is already allocated");
            return Err(invalid(why));
        }
        Ok(address)
    }

    fn free_address(&mut self, family: &str, new: &BTreeSet<IpAddr>) -> Result<IpAddr, Status> {
        let full = || Status::internal("failed to allocate a serviceIP: range is full");
        let slot = usize::from(family == "IPv6");
        let range = self.ranges.addresses.iter().find(|range| range.family() == family);
        let (range, next) = range.zip(self.next_address.get_mut(slot)).ok_or_else(full)?;
        // The lowest 256 (fewer in a small range) are for those who ask for one by number.
        let (low, size) = ((range.size() / 16).clamp(16, 256).min(range.size() / 2), range.size());
        let from = (*next).max(low);
        let order = (from..size - 1).chain(1..from);
        for n in order {
            let address = range.nth(n);
            if !self.addresses.contains(&address) && !new.contains(&address) {
                *next = n + 1;
                return Ok(address);
            }
        }
        Err(full())
    }

    fn assign_node_ports(
        &mut self,
        service: &mut Value,
        old: &BTreeSet<u16>,
        new: &mut BTreeSet<u16>,
    ) -> Result<(), Status> {
        let mut ports = json::list(service, &["spec", "ports"]).to_vec();
        new.extend(ports.iter().filter_map(|port| as_port(port.get("nodePort")?)));
        new.extend(old);
        for n in 0..ports.len() {
            let Some(port) = ports.get(n) else { continue };
            if port.get("nodePort").is_some() {
                continue;
            }
            // TCP and UDP on one port share a node port.
            let twin = ports.iter().find(|other| {
                other.get("port") == port.get("port")
                    && other.get("protocol") != port.get("protocol")
                    && other.get("nodePort").is_some()
            });
            let number = match twin.and_then(|twin| as_port(twin.get("nodePort")?)) {
                Some(number) => number,
                None => self.free_port(new)?,
            };
            new.insert(number);
            if let Some(port) = ports.get_mut(n) {
                json::set(port, &["nodePort"], number.into());
            }
        }
        json::set(service, &["spec", "ports"], Value::Array(ports));
        Ok(())
    }

    fn free_port(&mut self, new: &BTreeSet<u16>) -> Result<u16, Status> {
        let (start, end) = (*self.ranges.node_ports.start(), *self.ranges.node_ports.end());
        // The lowest 86 of 2,768 are for those who ask for one by number.
        let low = start + (end.saturating_sub(start) / 32).clamp(16, 128).min((end - start) / 2);
        let from = if (low..=end).contains(&self.next_port) { self.next_port } else { low };
        let mut order = (from..=end).chain(start..from);
        let found = order.find(|port| !self.ports.contains(port) && !new.contains(port));
        let port = found
            .ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))?;
        self.next_port = port.saturating_add(1);
        Ok(port)
    }

    fn check_requested_ports(&self, service: &Value, old: &BTreeSet<u16>) -> Result<(), Status> {
        for (n, port) in json::list(service, &["spec", "ports"]).iter().enumerate() {
            let Some(value) = port.get("nodePort") else { continue };
            let number = as_port(value).unwrap_or_default();
            let field = format!("spec.ports[{n}].nodePort");
            let range = &self.ranges.node_ports;
            if !range.contains(&number) {
                let why = format!(
                    "provided port is not in the valid range. The range of valid ports is {}-{}",
                    range.start(),
                    range.end()
                );
                return Err(refused(service, Cause::invalid(field, value, &why)));
            }
            if self.ports.contains(&number) && !old.contains(&number) {
                let why = "provided port is already allocated";
                return Err(refused(service, Cause::invalid(field, value, why)));
            }
        }
        Ok(())
    }
}
