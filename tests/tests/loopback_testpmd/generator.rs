//! The clients: datagrams with tokens out, and the same tokens back.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use capsule::{
    Burst, Device, Eal, EalSettings, MemifRole, Memory, Mempool, MempoolSettings, NamedDevice,
    Port, PortSettings, Queues, Running,
};
use spillway_packet::ipv4::TTL_DEFAULT;
use spillway_packet::{MacAddr, build};
use spillway_tests::error::{LabError, ensure};
use spillway_tests::wire::{failed, hex};
use spillway_tests::{Result, pattern};

pub(crate) const FRONTEND: SocketAddrV4 =
    SocketAddrV4::new(Ipv4Addr::new(172, 26, 50, 101), 30_645);
/// All clients are behind this router, which is the generator.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 26, 50, 1);
pub(crate) const GATEWAY_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0x01, 0x01]);

/// Ethernet, IPv4 and UDP headers: where the payload begins.
const PAYLOAD: usize = 14 + 20 + 8;
/// Nothing came back for this long: it will not come any more.
const GIVE_UP: Duration = Duration::from_secs(15);
const NAP: Duration = Duration::from_micros(50);
/// Both hops through the box; testpmd is none.
const TTL_RETURNED: u8 = TTL_DEFAULT - 2;

/// How much is sent.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) packets: u32,
    /// Client tuples that take turns.
    pub(crate) clients: u32,
    /// Packets under way at most: less than any ring on the way holds, so that none overflows.
    pub(crate) window: u32,
}

/// What came of it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) sent: u64,
    /// Came back, each byte as it must be, each packet once.
    pub(crate) returned: u64,
    pub(crate) elapsed: Duration,
}

/// One end of a memif, the box being the other.
#[derive(Debug)]
pub(crate) struct Generator {
    // Queues before the port, the port before its memory.
    queues: Queues,
    _port: Port<Running>,
    pool: Mempool,
    box_mac: MacAddr,
}

/// Which packets are out, and which are back.
struct Ledger {
    plan: Plan,
    run: Run,
    returned: Vec<bool>,
}

/// The `number`-th client.
pub(crate) fn client(number: u32) -> SocketAddrV4 {
    let host = u8::try_from(number % 200).unwrap_or_default();
    let port = u16::try_from(1024 + number).unwrap_or_default();
    SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, host.wrapping_add(1)), port)
}

/// A name for DPDK that no other instance on the machine has: process ids repeat in sandboxes.
pub(crate) fn unique(prefix: &str) -> Result<String> {
    let attempt = "read a random number";
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").map_err(LabError::io(attempt))?;
    let first = uuid.split('-').next().unwrap_or_default();
    Ok(format!("{prefix}-{first}"))
}

impl Generator {
    /// Connects to the box's memif.
    ///
    /// On a thread of its own: DPDK pins the thread that starts it to a core, and every program that
    /// such a thread starts would be pinned there too.
    pub(crate) fn open(socket: &Path, id: u32, box_mac: [u8; 6]) -> Result<Self> {
        thread::scope(|scope| {
            let opened = scope.spawn(|| Self::open_here(socket, id, MacAddr(box_mac))).join();
            opened.unwrap_or_else(|_| Err(LabError::Expectation("DPDK panicked".to_owned())))
        })
    }

    fn open_here(socket: &Path, id: u32, box_mac: MacAddr) -> Result<Self> {
        let device = Device::Memif {
            role: MemifRole::Client,
            id,
            socket: socket.to_owned(),
            ring_size_log2: 10,
            secret: None,
        };
        let mut settings = EalSettings::new(unique("sw-generator")?);
        settings.memory = Memory::Hugepages { mib: 64 };
        settings.multi_process = true;
        settings.devices = vec![NamedDevice::new("memif", device).map_err(failed("memif"))?];
        let eal = Eal::init(&settings).map_err(failed("start DPDK"))?;
        let pool = Mempool::create(&eal, &MempoolSettings::new("generator", 8192));
        let pool = pool.map_err(failed("create a mempool"))?;
        let port = Port::by_name(&eal, "memif").map_err(failed("memif"))?;
        let port = port.configure(&PortSettings::default()).map_err(failed("memif"))?;
        let mut port = port.start(&pool).map_err(failed("memif"))?;
        let queues = port.take_queues();
        let queues = queues.ok_or_else(|| LabError::Expectation("no queues".to_owned()))?;
        Ok(Self { queues, _port: port, pool, box_mac })
    }

    /// Sends everything and waits until everything is back.
    ///
    /// # Errors
    /// At the first frame that is not exactly one of those that are out, and when nothing comes
    /// any more.
    pub(crate) fn run(&mut self, plan: &Plan) -> Result<Run> {
        let returned = vec![false; usize::try_from(plan.packets).unwrap_or_default()];
        let mut ledger = Ledger { plan: *plan, run: Run::default(), returned };
        // Also gives the box slots to send to: see `Testpmd::start`.
        self.drain();
        let begin = Instant::now();
        let mut last = begin;
        while ledger.run.returned < u64::from(plan.packets) {
            self.send(&mut ledger)?;
            if self.receive(&mut ledger)? > 0 {
                last = Instant::now();
                continue;
            }
            ensure(last.elapsed() < GIVE_UP, || ledger.losses())?;
            thread::sleep(NAP);
        }
        ledger.run.elapsed = begin.elapsed();
        Ok(ledger.run)
    }

    /// Throws away what comes by itself, and counts it.
    pub(crate) fn drain(&mut self) -> usize {
        let mut burst = Burst::new();
        self.queues.rx.iter_mut().map(|queue| queue.receive(&mut burst)).sum()
    }

    /// A burst of packets, if the window allows.
    fn send(&mut self, ledger: &mut Ledger) -> Result<()> {
        let mut burst = Burst::new();
        let wanted = ledger.room().min(Burst::CAPACITY / 2);
        self.pool.alloc_burst(&mut burst, wanted);
        for (mbuf, number) in burst.iter_mut().zip(ledger.next()..) {
            let frame = outgoing(number, &ledger.plan, self.box_mac);
            ensure(mbuf.copy_from(&frame), || "a frame does not fit its buffer".to_owned())?;
        }
        if let Some(queue) = self.queues.tx.first_mut() {
            // What the queue does not take is made again.
            ledger.run.sent += queue.send(&mut burst) as u64;
        }
        Ok(())
    }

    fn receive(&mut self, ledger: &mut Ledger) -> Result<usize> {
        let mut burst = Burst::new();
        let Some(queue) = self.queues.rx.first_mut() else { return Ok(0) };
        let received = queue.receive(&mut burst);
        for mbuf in burst.drain() {
            ledger.take_back(mbuf.data(), self.box_mac)?;
        }
        Ok(received)
    }
}

impl Ledger {
    /// Number of the next packet.
    fn next(&self) -> u32 {
        u32::try_from(self.run.sent).unwrap_or(u32::MAX)
    }

    /// Packets that may be sent now.
    fn room(&self) -> usize {
        let out = self.run.sent.saturating_sub(self.run.returned);
        let window = u64::from(self.plan.window).saturating_sub(out);
        let left = u64::from(self.plan.packets).saturating_sub(self.run.sent);
        usize::try_from(window.min(left)).unwrap_or_default()
    }

    /// A frame that came: its token says which packet it is, and that says every byte of it.
    fn take_back(&mut self, frame: &[u8], box_mac: MacAddr) -> Result<()> {
        let token = frame.get(PAYLOAD..).and_then(<[u8]>::first_chunk);
        let number = token.map(|token| u32::from_be_bytes(*token));
        let number =
            number.filter(|number| u64::from(*number) < self.run.sent).ok_or_else(|| {
                LabError::Expectation(format!("nobody sent this:\n{}", hex::dump(frame)))
            })?;
        if let Some(difference) = hex::difference(&returning(number, &self.plan, box_mac), frame) {
            return Err(LabError::Expectation(format!("packet {number} {difference}")));
        }
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let first = self.returned.get_mut(index).map(|returned| !std::mem::replace(returned, true));
        ensure(first == Some(true), || format!("packet {number} came back twice"))?;
        self.run.returned += 1;
        Ok(())
    }

    fn losses(&self) -> String {
        let sent = usize::try_from(self.run.sent).unwrap_or(usize::MAX);
        let packets = self.returned.iter().enumerate().take(sent);
        let lost: Vec<usize> = packets.filter(|(_, back)| !**back).map(|(at, _)| at).collect();
        let shown = lost.iter().take(10).collect::<Vec<_>>();
        format!("{:?}: {} packets never came back, such as {shown:?}", self.run, lost.len())
    }
}

/// The packet as it is sent.
fn outgoing(number: u32, plan: &Plan, box_mac: MacAddr) -> Vec<u8> {
    let datagram = build::udp(client(number % plan.clients), FRONTEND);
    finish(number, datagram.macs(GATEWAY_MAC, box_mac))
}

/// The same packet when it is back.
fn returning(number: u32, plan: &Plan, box_mac: MacAddr) -> Vec<u8> {
    let datagram = build::udp(FRONTEND, client(number % plan.clients)).ttl(TTL_RETURNED);
    finish(number, datagram.macs(box_mac, GATEWAY_MAC))
}

/// With its number, a token that nobody guesses from it, and up to 1.4 kB more. Each seventh has no
/// UDP checksum.
fn finish(number: u32, datagram: build::Builder) -> Vec<u8> {
    let index = u64::from(number);
    let mut payload = number.to_be_bytes().to_vec();
    payload.extend(pattern::word(index).to_be_bytes());
    let more = usize::try_from(pattern::word(index) % 1400).unwrap_or_default();
    let mut filling = vec![0; if number.is_multiple_of(10) { more } else { more % 64 }];
    pattern::fill(index.wrapping_mul(8), &mut filling);
    payload.extend(filling);
    let [.., hi, lo] = number.to_be_bytes();
    let datagram = datagram.identification(u16::from_be_bytes([hi, lo])).payload(&payload);
    if number.is_multiple_of(7) {
        datagram.without_udp_checksum().finish()
    } else {
        datagram.finish()
    }
}
