//! `spillwayd` in the lab's box, and `spillway` to ask it.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use spillway_admin::{BackendState, ConntrackRow, DropReport, DropRow, HealthRow, PacketTotals};
use spillway_admin::{PortRow, ServiceRow, Status};

use crate::error::{LabError, Result};
use crate::lab::Lab;
use crate::lab::topology::{NodeId, Topology};
use crate::process::{Process, output, until};
use crate::programs;

/// The instance that most labs have only.
pub const FIRST: &str = "spillwayd";

/// The daemon writes this when it forwards.
const READY: &str = "ready";
/// EAL, ports and the first health checks.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// From SIGTERM to the end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    socket: PathBuf,
}

/// How the daemon is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// A configuration that was not written for this lab: what differs per lab is overridden.
    pub config: PathBuf,
    /// More overrides, as `key=value`.
    pub settings: Vec<String>,
    /// Tells the daemons of one lab apart.
    pub instance: &'static str,
}

impl Options {
    /// `config/NAME.toml` of this repository.
    pub fn example(name: &str) -> Self {
        Self::file(programs::root().join(format!("config/{name}.toml")))
    }

    /// A configuration file as it is.
    pub fn file(config: PathBuf) -> Self {
        Self { config, settings: Vec::new(), instance: FIRST }
    }

    /// The lab's second box, which has links and state of its own.
    #[must_use]
    pub fn second(mut self) -> Self {
        self.instance = "spillwayd-2";
        self
    }

    /// One more override.
    #[must_use]
    pub fn set(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// The command that runs the daemon in the lab's box.
    pub fn command(&self, lab: &Lab) -> Result<Command> {
        let mut command = lab.middle().command(programs::path(programs::SPILLWAYD)?);
        command.arg("run").arg("--config").arg(&self.config);
        for setting in overrides(lab, self.instance).iter().chain(&self.settings) {
            command.arg("--set").arg(setting);
        }
        Ok(command)
    }
}

/// What differs per lab, as `key=value`.
pub fn overrides(lab: &Lab, instance: &str) -> Vec<String> {
    let second = instance != FIRST;
    let (front, back) = if second {
        (lab.second_front_interface(), lab.second_back_interface())
    } else {
        (lab.front_interface(), lab.back_interface())
    };
    let mut settings = vec![
        format!("name=sw-{}-{instance}", lab.id()),
        format!("port.front.interface={front}"),
        format!("admin_socket={}", socket(lab, instance).display()),
        format!("state_dir={}", lab.dir().join(format!("state-{instance}")).display()),
    ];
    if back != front {
        settings.push(format!("port.back.interface={back}"));
    }
    settings
}

/// The admin socket of a lab's daemon.
pub fn socket(lab: &Lab, instance: &str) -> PathBuf {
    lab.dir().join(format!("{instance}.sock"))
}

impl Daemon {
    /// Starts it and waits until it forwards.
    pub fn start(lab: &Lab, options: &Options) -> Result<Self> {
        let process = Process::spawn(options.instance, lab.dir(), &mut options.command(lab)?)?;
        let mut daemon = Self { process, socket: socket(lab, options.instance) };
        daemon.process.wait_for_log(READY, READY_TIMEOUT)?;
        Ok(daemon)
    }

    /// The process: its id, its log, signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Stops it in good order.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal("TERM")?;
        self.process.wait(STOP_TIMEOUT)
    }

    /// What `spillway WORDS` prints.
    pub fn ask(&self, words: &str) -> Result<String> {
        let mut command = Command::new(programs::path(programs::SPILLWAY)?);
        command.arg("--socket").arg(&self.socket).args(words.split_whitespace());
        output(&mut command)
    }

    /// `spillway service list`.
    pub fn services(&self) -> Result<Vec<ServiceRow>> {
        #[derive(Deserialize)]
        struct Answer {
            services: Vec<ServiceRow>,
        }
        self.ask_json::<Answer>("service list").map(|answer| answer.services)
    }

    /// `spillway conntrack list` with conditions.
    pub fn conntrack(&self, conditions: &str) -> Result<Vec<ConntrackRow>> {
        #[derive(Deserialize)]
        struct Answer {
            conntrack: Vec<ConntrackRow>,
        }
        let words = format!("conntrack list {conditions}");
        self.ask_json::<Answer>(&words).map(|answer| answer.conntrack)
    }

    /// `spillway health list`.
    pub fn health(&self) -> Result<Vec<HealthRow>> {
        #[derive(Deserialize)]
        struct Answer {
            health: Vec<HealthRow>,
        }
        self.ask_json::<Answer>("health list").map(|answer| answer.health)
    }

    /// `spillway port list`.
    pub fn ports(&self) -> Result<Vec<PortRow>> {
        #[derive(Deserialize)]
        struct Answer {
            ports: Vec<PortRow>,
        }
        self.ask_json::<Answer>("port list").map(|answer| answer.ports)
    }

    /// `spillway status`.
    pub fn status(&self) -> Result<Status> {
        #[derive(Deserialize)]
        struct Answer {
            status: Status,
        }
        self.ask_json::<Answer>("status").map(|answer| answer.status)
    }

    /// `spillway drops`.
    pub fn drops(&self) -> Result<DropReport> {
        #[derive(Deserialize)]
        struct Answer {
            balance: PacketTotals,
            drops: Vec<DropRow>,
        }
        let answer = self.ask_json::<Answer>("drops")?;
        Ok(DropReport { balance: answer.balance, drops: answer.drops })
    }

    /// Packets dropped for a reason.
    pub fn dropped(&self, reason: &str) -> Result<u64> {
        let report = self.drops()?;
        let row = report.drops.iter().find(|row| row.reason == reason);
        row.map(|row| row.count)
            .ok_or_else(|| LabError::Expectation(format!("no DropReason is called {reason}")))
    }

    /// Waits until every frontend shows a node in a state.
    pub fn wait_for_state(
        &mut self,
        node: NodeId,
        state: BackendState,
        after: Duration,
    ) -> Result<()> {
        let what = format!("{} being {state}", node.name());
        let address = std::net::IpAddr::V4(node.address());
        until(&what, after, || {
            self.process.ensure_running()?;
            let services = self.services()?;
            let mut backends = services.iter().flat_map(|service| &service.backends);
            let mut seen = backends.by_ref().filter(|row| row.address.ip() == address).peekable();
            let there = seen.peek().is_some() && seen.all(|row| row.state == state);
            Ok(there.then_some(()))
        })
    }

    fn ask_json<T: DeserializeOwned>(&self, words: &str) -> Result<T> {
        let answer = self.ask(&format!("-o json {words}"))?;
        serde_json::from_str(&answer).map_err(LabError::json(format!("spillway {words}")))
    }
}

/// A lab with servers, and the box in it, with every node of it active.
pub fn lab_with_box(topology: Topology, options: &Options) -> Result<(Lab, Daemon)> {
    let lab = Lab::with_servers(topology)?;
    let mut daemon = Daemon::start(&lab, options)?;
    for node in lab.node_ids() {
        daemon.wait_for_state(node, BackendState::Active, READY_TIMEOUT)?;
    }
    Ok((lab, daemon))
}
