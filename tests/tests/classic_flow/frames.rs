//! Every frame of the classic flow, as it is on the wire.
//!
//! A line per header: Ethernet, IPv4, TCP or UDP, TCP's options, data. The
//! checksums were computed from the headers, by other means than the box's.

/// Lines of bytes in hex.
pub(crate) type Frame = &'static [&'static str];

pub(crate) const FRONT_MAC: &str = "02:00:00:00:01:01";
pub(crate) const CLIENT_MAC: &str = "02:00:00:00:01:80";
pub(crate) const BACK_MAC: &str = "02:00:00:00:02:01";
pub(crate) const NODE_MAC: &str = "02:00:00:00:02:72";

/// The box announces its front address (RFC 5227, 3).
pub(crate) const FRONT_ANNOUNCED: Frame = &[
    "ff ff ff ff ff ff 02 00 00 00 01 01 08 06",
    "00 01 08 00 06 04 00 01",
    "02 00 00 00 01 01 ac 1a 32 65",
    "00 00 00 00 00 00 ac 1a 32 65",
];

/// The box announces its back address.
pub(crate) const BACK_ANNOUNCED: Frame = &[
    "ff ff ff ff ff ff 02 00 00 00 02 01 08 06",
    "00 01 08 00 06 04 00 01",
    "02 00 00 00 02 01 0a 00 01 01",
    "00 00 00 00 00 00 0a 00 01 01",
];

/// The client asks for 172.26.50.101.
pub(crate) const FRONT_WANTED: Frame = &[
    "ff ff ff ff ff ff 02 00 00 00 01 80 08 06",
    "00 01 08 00 06 04 00 01",
    "02 00 00 00 01 80 ac 1a 32 b4",
    "00 00 00 00 00 00 ac 1a 32 65",
];

/// 172.26.50.101 is at the front port.
pub(crate) const FRONT_ANSWERED: Frame = &[
    "02 00 00 00 01 80 02 00 00 00 01 01 08 06",
    "00 01 08 00 06 04 00 02",
    "02 00 00 00 01 01 ac 1a 32 65",
    "02 00 00 00 01 80 ac 1a 32 b4",
];

/// The box asks for the client, instead of believing its question.
pub(crate) const CLIENT_WANTED: Frame = &[
    "ff ff ff ff ff ff 02 00 00 00 01 01 08 06",
    "00 01 08 00 06 04 00 01",
    "02 00 00 00 01 01 ac 1a 32 65",
    "00 00 00 00 00 00 ac 1a 32 b4",
];

/// The client answers.
pub(crate) const CLIENT_ANSWERED: Frame = &[
    "02 00 00 00 01 01 02 00 00 00 01 80 08 06",
    "00 01 08 00 06 04 00 02",
    "02 00 00 00 01 80 ac 1a 32 b4",
    "02 00 00 00 01 01 ac 1a 32 65",
];

/// The box asks for 10.0.1.72.
pub(crate) const NODE_WANTED: Frame = &[
    "ff ff ff ff ff ff 02 00 00 00 02 01 08 06",
    "00 01 08 00 06 04 00 01",
    "02 00 00 00 02 01 0a 00 01 01",
    "00 00 00 00 00 00 0a 00 01 48",
];

/// The node answers.
pub(crate) const NODE_ANSWERED: Frame = &[
    "02 00 00 00 02 01 02 00 00 00 02 72 08 06",
    "00 01 08 00 06 04 00 02",
    "02 00 00 00 02 72 0a 00 01 48",
    "02 00 00 00 02 01 0a 00 01 01",
];

/// The node asks for its gateway, 10.0.1.1.
pub(crate) const BACK_WANTED: Frame = &[
    "ff ff ff ff ff ff 02 00 00 00 02 72 08 06",
    "00 01 08 00 06 04 00 01",
    "02 00 00 00 02 72 0a 00 01 48",
    "00 00 00 00 00 00 0a 00 01 01",
];

/// 10.0.1.1 is at the back port.
pub(crate) const BACK_ANSWERED: Frame = &[
    "02 00 00 00 02 72 02 00 00 00 02 01 08 06",
    "00 01 08 00 06 04 00 02",
    "02 00 00 00 02 01 0a 00 01 01",
    "02 00 00 00 02 72 0a 00 01 48",
];

/// The client asks for 172.26.50.102, which is nobody.
pub(crate) const STRANGER_WANTED: Frame = &[
    "ff ff ff ff ff ff 02 00 00 00 01 80 08 06",
    "00 01 08 00 06 04 00 01",
    "02 00 00 00 01 80 ac 1a 32 b4",
    "00 00 00 00 00 00 ac 1a 32 66",
];

/// The node asks for 172.26.50.101, which is not on its link.
pub(crate) const FRONT_WANTED_AT_THE_BACK: Frame = &[
    "ff ff ff ff ff ff 02 00 00 00 02 72 08 06",
    "00 01 08 00 06 04 00 01",
    "02 00 00 00 02 72 0a 00 01 48",
    "00 00 00 00 00 00 ac 1a 32 65",
];

/// 172.26.50.180:10000 → 172.26.50.101:30645: a SYN with a client's usual options.
pub(crate) const SYN_IN: Frame = &[
    "02 00 00 00 01 01 02 00 00 00 01 80 08 00",
    "45 00 00 3c 1a 01 40 00 40 06 63 6d ac 1a 32 b4 ac 1a 32 65",
    "27 10 77 b5 10 20 30 40 00 00 00 00 a0 02 fa f0 8e 57 00 00",
    "02 04 05 b4 04 02 08 0a 00 11 22 33 00 00 00 00 01 03 03 07",
];

/// 172.26.50.101:31210 → 10.0.1.72:80: TTL 63, new checksums, the rest as it came.
pub(crate) const SYN_OUT: Frame = &[
    "02 00 00 00 02 72 02 00 00 00 02 01 08 00",
    "45 00 00 3c 1a 01 40 00 3f 06 37 f4 ac 1a 32 65 0a 00 01 48",
    "79 ea 00 50 10 20 30 40 00 00 00 00 a0 02 fa f0 86 69 00 00",
    "02 04 05 b4 04 02 08 0a 00 11 22 33 00 00 00 00 01 03 03 07",
];

/// 10.0.1.72:80 → 172.26.50.101:31210: the node's SYN+ACK.
pub(crate) const SYN_ACK_IN: Frame = &[
    "02 00 00 00 02 01 02 00 00 00 02 72 08 00",
    "45 00 00 3c 00 00 40 00 40 06 50 f5 0a 00 01 48 ac 1a 32 65",
    "00 50 79 ea 50 60 70 80 10 20 30 41 a0 12 fe 88 17 13 00 00",
    "02 04 05 b4 04 02 08 0a 44 55 66 77 00 11 22 33 01 03 03 07",
];

/// 172.26.50.101:30645 → 172.26.50.180:10000: TTL 63, new checksums.
pub(crate) const SYN_ACK_OUT: Frame = &[
    "02 00 00 00 01 80 02 00 00 00 01 01 08 00",
    "45 00 00 3c 00 00 40 00 3f 06 7e 6e ac 1a 32 65 ac 1a 32 b4",
    "77 b5 27 10 50 60 70 80 10 20 30 41 a0 12 fe 88 1f 01 00 00",
    "02 04 05 b4 04 02 08 0a 44 55 66 77 00 11 22 33 01 03 03 07",
];

/// 172.26.50.180:10000 → 172.26.50.101:30645: 19 bytes of data, an odd number.
pub(crate) const REQUEST_IN: Frame = &[
    "02 00 00 00 01 01 02 00 00 00 01 80 08 00",
    "45 00 00 47 1a 02 40 00 40 06 63 61 ac 1a 32 b4 ac 1a 32 65",
    "27 10 77 b5 10 20 30 41 50 60 70 81 80 18 01 f6 4a a4 00 00",
    "01 01 08 0a 00 11 22 34 44 55 66 77",
    "47 45 54 20 2f 20 48 54 54 50 2f 31 2e 30 0d 0a 0d 0a 21",
];

/// 172.26.50.101:31210 → 10.0.1.72:80: TTL 63, new checksums, the rest as it came.
pub(crate) const REQUEST_OUT: Frame = &[
    "02 00 00 00 02 72 02 00 00 00 02 01 08 00",
    "45 00 00 47 1a 02 40 00 3f 06 37 e8 ac 1a 32 65 0a 00 01 48",
    "79 ea 00 50 10 20 30 41 50 60 70 81 80 18 01 f6 42 b6 00 00",
    "01 01 08 0a 00 11 22 34 44 55 66 77",
    "47 45 54 20 2f 20 48 54 54 50 2f 31 2e 30 0d 0a 0d 0a 21",
];

/// 10.0.1.72:80 → 172.26.50.101:31210: 27 bytes of data.
pub(crate) const ANSWER_IN: Frame = &[
    "02 00 00 00 02 01 02 00 00 00 02 72 08 00",
    "45 00 00 4f 7b 01 40 00 40 06 d5 e0 0a 00 01 48 ac 1a 32 65",
    "00 50 79 ea 50 60 70 81 10 20 30 54 80 18 01 fd c8 eb 00 00",
    "01 01 08 0a 44 55 66 78 00 11 22 34",
    "48 54 54 50 2f 31 2e 30 20 32 30 34 20 4e 6f 20 43 6f 6e 74",
    "65 6e 74 0d 0a 0d 0a",
];

/// 172.26.50.101:30645 → 172.26.50.180:10000: TTL 63, new checksums.
pub(crate) const ANSWER_OUT: Frame = &[
    "02 00 00 00 01 80 02 00 00 00 01 01 08 00",
    "45 00 00 4f 7b 01 40 00 3f 06 03 5a ac 1a 32 65 ac 1a 32 b4",
    "77 b5 27 10 50 60 70 81 10 20 30 54 80 18 01 fd d0 d9 00 00",
    "01 01 08 0a 44 55 66 78 00 11 22 34",
    "48 54 54 50 2f 31 2e 30 20 32 30 34 20 4e 6f 20 43 6f 6e 74",
    "65 6e 74 0d 0a 0d 0a",
];

/// 172.26.50.180:10000 → 172.26.50.101:30645: UDP, `who is there?`.
pub(crate) const QUERY_IN: Frame = &[
    "02 00 00 00 01 01 02 00 00 00 01 80 08 00",
    "45 00 00 29 2c 01 40 00 40 11 51 75 ac 1a 32 b4 ac 1a 32 65",
    "27 10 77 b5 00 15 19 75",
    "77 68 6f 20 69 73 20 74 68 65 72 65 3f",
];

/// 172.26.50.101:31210 → 10.0.1.72:53: TTL 63, new checksums, the rest as it came.
pub(crate) const QUERY_OUT: Frame = &[
    "02 00 00 00 02 72 02 00 00 00 02 01 08 00",
    "45 00 00 29 2c 01 40 00 3f 11 25 fc ac 1a 32 65 0a 00 01 48",
    "79 ea 00 35 00 15 11 a2",
    "77 68 6f 20 69 73 20 74 68 65 72 65 3f",
];

/// 10.0.1.72:53 → 172.26.50.101:31210: UDP, `a node`.
pub(crate) const REPLY_IN: Frame = &[
    "02 00 00 00 02 01 02 00 00 00 02 72 08 00",
    "45 00 00 22 3d 01 40 00 40 11 14 03 0a 00 01 48 ac 1a 32 65",
    "00 35 79 ea 00 0e 67 f6",
    "61 20 6e 6f 64 65",
];

/// 172.26.50.101:30645 → 172.26.50.180:10000: TTL 63, new checksums.
pub(crate) const REPLY_OUT: Frame = &[
    "02 00 00 00 01 80 02 00 00 00 01 01 08 00",
    "45 00 00 22 3d 01 40 00 3f 11 41 7c ac 1a 32 65 ac 1a 32 b4",
    "77 b5 27 10 00 0e 6f c9",
    "61 20 6e 6f 64 65",
];

/// 172.26.50.180:10000 → 172.26.50.101:30645: UDP without a checksum, which stays without.
pub(crate) const UNSUMMED_QUERY_IN: Frame = &[
    "02 00 00 00 01 01 02 00 00 00 01 80 08 00",
    "45 00 00 24 2c 02 40 00 40 11 51 79 ac 1a 32 b4 ac 1a 32 65",
    "27 10 77 b5 00 10 00 00",
    "75 6e 73 75 6d 6d 65 64",
];

/// 172.26.50.101:31210 → 10.0.1.72:53: TTL 63, new checksums, the rest as it came.
pub(crate) const UNSUMMED_QUERY_OUT: Frame = &[
    "02 00 00 00 02 72 02 00 00 00 02 01 08 00",
    "45 00 00 24 2c 02 40 00 3f 11 26 00 ac 1a 32 65 0a 00 01 48",
    "79 ea 00 35 00 10 00 00",
    "75 6e 73 75 6d 6d 65 64",
];

/// 10.0.1.72:53 → 172.26.50.101:31210: UDP without a checksum.
pub(crate) const UNSUMMED_REPLY_IN: Frame = &[
    "02 00 00 00 02 01 02 00 00 00 02 72 08 00",
    "45 00 00 28 3d 02 40 00 40 11 13 fc 0a 00 01 48 ac 1a 32 65",
    "00 35 79 ea 00 14 00 00",
    "75 6e 73 75 6d 6d 65 64 20 74 6f 6f",
];

/// 172.26.50.101:30645 → 172.26.50.180:10000: TTL 63, new checksums.
pub(crate) const UNSUMMED_REPLY_OUT: Frame = &[
    "02 00 00 00 01 80 02 00 00 00 01 01 08 00",
    "45 00 00 28 3d 02 40 00 3f 11 41 75 ac 1a 32 65 ac 1a 32 b4",
    "77 b5 27 10 00 14 00 00",
    "75 6e 73 75 6d 6d 65 64 20 74 6f 6f",
];
