//! What is to be checked: one backend of one service.

use std::fmt;
use std::net::{IpAddr, SocketAddrV4};

use spillway_lb::model::{Backend, HealthCheck, Model, Service};

/// Names one backend of one service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId {
    /// The service's unique name.
    pub service: String,
    /// The backend's own address and port, not the probed port.
    pub backend: SocketAddrV4,
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service {}: backend {}", self.service, self.backend)
    }
}

/// One backend of one service and the check that its service asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub id: TargetId,
    pub check: HealthCheck,
}

impl Target {
    /// Where the probe goes: the backend, on the check's port when it names one.
    pub(super) fn address(&self) -> SocketAddrV4 {
        let port = self.check.port.unwrap_or(self.id.backend.port());
        SocketAddrV4::new(*self.id.backend.ip(), port)
    }
}

/// Why a model cannot be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("service {service}: backend {address} cannot be checked: only IPv4 is")]
    NotIpv4 { service: String, address: IpAddr },
}

/// Every check of a service with every backend.
fn checked(service: &Service) -> impl Iterator<Item = (&HealthCheck, &Backend)> {
    let checks = service.checks.iter();
    checks.flat_map(|check| service.backends.iter().map(move |backend| (check, backend)))
}

/// The targets of every service that has a health check, in the model's order.
///
/// # Errors
/// A backend that is to be checked has an IPv6 address.
pub fn targets(model: &Model) -> Result<Vec<Target>, TargetError> {
    let mut targets = Vec::new();
    for service in &model.services {
        for (check, backend) in checked(service) {
            let IpAddr::V4(address) = backend.address else {
                return Err(TargetError::NotIpv4 {
                    service: service.name.clone(),
                    address: backend.address,
                });
            };
            targets.push(Target {
                id: TargetId {
                    service: service.name.clone(),
                    backend: SocketAddrV4::new(address, backend.port),
                },
                check: check.clone(),
            });
        }
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spillway_lb::model::{Backend, CheckKind, Service, ServiceKind};
    use std::sync::Arc;
    use std::time::Duration;

    fn service(name: &str, backends: &[&str], health: Option<HealthCheck>) -> Arc<Service> {
        let backends = backends
            .iter()
            .map(|address| Backend { address: address.parse().unwrap(), port: 80, weight: 1 })
            .collect();
        let checks = health.into_iter().collect();
        Arc::new(Service { backends, checks, ..Service::new(name, ServiceKind::NodePort) })
    }

    fn check(port: Option<u16>) -> HealthCheck {
        HealthCheck {
            kind: CheckKind::Tcp,
            port,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
            jitter_percent: 10,
            hold_down: Duration::ZERO,
        }
    }

    #[test]
    fn only_services_with_a_check_have_targets() {
        let model = Model {
            routes: Vec::new(),
            services: vec![
                service("web", &["10.0.1.1", "10.0.1.2"], Some(check(None))),
                service("dns", &["10.0.1.3"], None),
            ],
        };
        let names: Vec<_> = targets(&model).unwrap().iter().map(|t| t.id.to_string()).collect();
        assert_eq!(names, ["service web: backend 10.0.1.1:80", "service web: backend 10.0.1.2:80"]);
    }

    #[test]
    fn the_check_s_port_replaces_the_backend_s_only_on_the_wire() {
        let model = Model {
            routes: Vec::new(),
            services: vec![service("web", &["10.0.1.1"], Some(check(Some(10_256))))],
        };
        let target = targets(&model).unwrap().remove(0);
        assert_eq!(target.address().port(), 10_256);
        assert_eq!(target.id.backend.port(), 80);
    }

    #[test]
    fn an_ipv6_backend_is_refused_by_name() {
        let model = Model {
            routes: Vec::new(),
            services: vec![service("web", &["fd00::1"], Some(check(None)))],
        };
        let error = targets(&model).unwrap_err();
        assert!(error.to_string().contains("web") && error.to_string().contains("fd00::1"));
    }
}
