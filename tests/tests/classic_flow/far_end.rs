//! The far ends of the box's cables: raw frames out, raw frames in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use capsule::{
    Burst, Device, Eal, EalSettings, Mempool, MempoolSettings, NamedDevice, Port, PortSettings,
    Queues, Running,
};
use spillway_tests::Result;
use spillway_tests::error::{LabError, ensure};
use spillway_tests::wire::{failed, hex};

/// From a frame to what the box makes of it. Generous: all cores may be busy with something else.
const PATIENCE: Duration = Duration::from_secs(5);
const NAP: Duration = Duration::from_micros(200);

/// An interface, and the frames that may come there at any time.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Listen<'a> {
    pub(crate) interface: &'static str,
    pub(crate) background: &'a [&'a [&'a str]],
}

/// Both of them. A process has one DPDK, so they come together.
#[derive(Debug)]
pub(crate) struct FarEnds {
    pub(crate) client: FarEnd,
    pub(crate) node: FarEnd,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct FarEnd {
    name: &'static str,
    // Queues before the port, the port before its memory.
    queues: Queues,
    _port: Port<Running>,
    pool: Arc<Mempool>,
    /// Frames that may come at any time, and how often they did.
    background: Vec<(Vec<u8>, u32)>,
    received: VecDeque<Vec<u8>>,
}

impl FarEnds {
    /// Opens the two interfaces; each with the frames that may come at any time.
    ///
    /// On a thread of its own: DPDK pins the thread that starts it to a core, and every program that
    /// such a thread starts would be pinned there too.
    pub(crate) fn open(client: Listen<'_>, node: Listen<'_>) -> Result<Self> {
        thread::scope(|scope| {
            let opened = scope.spawn(|| Self::open_here(client, node)).join();
            opened.unwrap_or_else(|_| Err(LabError::Expectation("DPDK panicked".to_owned())))
        })
    }

    fn open_here(client: Listen<'_>, node: Listen<'_>) -> Result<Self> {
        let mut settings = EalSettings::new(format!("sw-far-{}", std::process::id()));
        for Listen { interface, .. } in [client, node] {
            let device = Device::AfPacket { interface: interface.to_owned(), queues: 1 };
            settings.devices.push(NamedDevice::new(interface, device).map_err(failed(interface))?);
        }
        let eal = Eal::init(&settings).map_err(failed("start DPDK"))?;
        let pool = Mempool::create(&eal, &MempoolSettings::new("far", 4096));
        let pool = Arc::new(pool.map_err(failed("create a mempool"))?);
        Ok(Self {
            client: FarEnd::open(&eal, client, &pool)?,
            node: FarEnd::open(&eal, node, &pool)?,
        })
    }
}

impl FarEnd {
    fn open(eal: &Eal, listen: Listen<'_>, pool: &Arc<Mempool>) -> Result<Self> {
        let Listen { interface: name, background } = listen;
        let port = Port::by_name(eal, name).map_err(failed(name))?;
        let port = port.configure(&PortSettings::default()).map_err(failed(name))?;
        let mut port = port.start(pool).map_err(failed(name))?;
        let queues = port.take_queues();
        let queues = queues.ok_or_else(|| LabError::Expectation(format!("{name}: no queues")))?;
        let mut end = Self {
            name,
            queues,
            _port: port,
            pool: Arc::clone(pool),
            background: Vec::new(),
            received: VecDeque::new(),
        };
        for frame in background {
            end.background(frame)?;
        }
        Ok(end)
    }

    /// From now on this frame may come at any time.
    pub(crate) fn background(&mut self, frame: &[&str]) -> Result<()> {
        self.background.push((hex::bytes(frame)?, 0));
        Ok(())
    }

    /// Puts a frame on the wire.
    pub(crate) fn send(&mut self, frame: &[&str]) -> Result<()> {
        let frame = hex::bytes(frame)?;
        let mut burst = Burst::new();
        self.pool.alloc_burst(&mut burst, 1);
        let filled = burst.iter_mut().all(|mbuf| mbuf.copy_from(&frame));
        let sent = self.queues.tx.first_mut().map_or(0, |queue| queue.send(&mut burst));
        ensure(filled && sent == 1, || format!("{}: a frame could not be sent", self.name))
    }

    /// Waits for the next frame that is not background. It is this one, byte by byte.
    pub(crate) fn expect(&mut self, what: &str, frame: &[&str]) -> Result<()> {
        let expected = hex::bytes(frame)?;
        let Some(got) = self.next(PATIENCE) else {
            let name = self.name;
            return Err(LabError::Expectation(format!("{what} never came to {name}")));
        };
        match hex::difference(&expected, &got) {
            None => Ok(()),
            Some(difference) => {
                Err(LabError::Expectation(format!("{what} at {} {difference}", self.name)))
            }
        }
    }

    /// Nothing but background comes for this long.
    pub(crate) fn expect_silence(&mut self, during: Duration) -> Result<()> {
        match self.next(during) {
            None => Ok(()),
            Some(frame) => {
                let (name, frame) = (self.name, hex::dump(&frame));
                Err(LabError::Expectation(format!("{name} heard what nobody asked for:\n{frame}")))
            }
        }
    }

    /// A background frame that has come.
    pub(crate) fn ensure_heard(&self, frame: &[&str]) -> Result<()> {
        let frame = hex::bytes(frame)?;
        let count = self.background.iter().find(|(known, _)| *known == frame);
        ensure(count.is_some_and(|(_, count)| *count > 0), || {
            format!("{} never heard\n{}", self.name, hex::dump(&frame))
        })
    }

    fn next(&mut self, within: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + within;
        loop {
            self.receive();
            if let Some(frame) = self.received.pop_front() {
                return Some(frame);
            }
            if Instant::now() > deadline {
                return None;
            }
            thread::sleep(NAP);
        }
    }

    fn receive(&mut self) {
        let mut burst = Burst::new();
        for queue in &mut self.queues.rx {
            queue.receive(&mut burst);
            for mbuf in burst.drain() {
                let known = self.background.iter_mut().find(|(frame, _)| frame == mbuf.data());
                match known {
                    Some((_, count)) => *count += 1,
                    None => self.received.push_back(mbuf.data().to_vec()),
                }
            }
        }
    }
}
