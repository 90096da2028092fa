//! Files in and out, byte for byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod support;

use std::fs;
use std::path::Path;

use capsule::{Burst, Device, Eal};
use support::{Directory, frame, is_test_frame, pool, settings, started, wait_until};

/// libpcap's file format: a global header, and sixteen bytes before each frame.
fn write_pcap(path: &Path, frames: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        bytes.extend(word.to_le_bytes());
    }
    for frame in frames {
        let len = u32::try_from(frame.len()).unwrap();
        for word in [1, 0, len, len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    fs::write(path, bytes).unwrap();
}

fn read_pcap(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let mut rest = &bytes[24..];
    let mut frames = Vec::new();
    while let Some((header, tail)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let (frame, tail) = tail.split_at(len);
        frames.push(frame.to_vec());
        rest = tail;
    }
    assert!(rest.is_empty());
    frames
}

#[test]
fn a_file_goes_through_byte_for_byte_and_long_frames_are_known_as_chains() {
    let directory = Directory::new();
    let (input, output) = (directory.join("in.pcap"), directory.join("out.pcap"));
    let mut frames: Vec<_> = (0..200_u32).map(|n| frame(n, 14 + n as usize * 7)).collect();
    // Longer than one buffer: arrives as a chain.
    let long = frame(200, 5000);
    frames.push(long.clone());
    write_pcap(&input, &frames);
    let device = Device::Pcap { rx: Some(input), tx: Some(output.clone()), infinite_rx: false };
    let eal = Eal::init(&settings(&[("file", device)])).unwrap();
    let pool = pool(&eal, "pool", 4096);
    let (port, mut queues) = started(&eal, "file", &pool);

    let mut burst = Burst::new();
    let mut seen = 0;
    wait_until("every frame is read and written", || {
        queues.rx[0].receive(&mut burst);
        for mbuf in &mut burst {
            assert!(is_test_frame(mbuf.data()));
            if seen == 200 {
                assert!(!mbuf.is_contiguous());
                assert_eq!(mbuf.packet_len(), 5000);
                assert_eq!(mbuf.data(), &long[..mbuf.len()], "the first segment only");
                assert!(!mbuf.resize(60) && !mbuf.push_front(4) && !mbuf.pull_front(4));
                assert!(!mbuf.copy_from(b"short"));
            } else {
                assert!(mbuf.is_contiguous());
            }
            seen += 1;
        }
        while !burst.is_empty() {
            queues.tx[0].send(&mut burst);
        }
        seen == frames.len()
    });
    assert_eq!(port.stats().rx_packets, 201);
    drop(queues);
    drop(port);
    assert_eq!(pool.in_use(), 0, "chains are freed whole");
    assert_eq!(read_pcap(&output), frames);
}
