//! One question at a time to the kernel's routing sockets.
use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use tracing::debug;

/// More than the kernel puts into one datagram of a dump (32 KiB, rtnetlink's `min_dump_alloc`).
const DATAGRAM_BYTES_MAX: usize = 128 * 1024;
/// Times that a dump is asked for again when what it lists changed meanwhile.
const DUMPS_MAX: usize = 5;

/// A socket of the network namespace that the thread was in when it was opened.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netlink").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Everything of a kind.
    pub(crate) fn dump(
        &mut self,
        question: &RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        for _ in 0..DUMPS_MAX {
            let answer = self.ask(question, NLM_F_DUMP)?;
            if !answer.is_interrupted {
                return Ok(answer.messages);
            }
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "the list changes faster than it is read"))
    }

    /// A change, with `flags` beyond those of every request.
    pub(crate) fn change(&mut self, change: &RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.ask(change, NLM_F_ACK | flags).map(|_| ())
    }

    fn ask(&mut self, question: &RouteNetlinkMessage, flags: u16) -> io::Result<Answer> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let payload = NetlinkPayload::InnerMessage(question.clone());
        let mut message = NetlinkMessage::new(header, payload);
        message.finalize();
        let mut bytes = vec![0_u8; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let mut answer = Answer::default();
        let mut datagram = Vec::with_capacity(DATAGRAM_BYTES_MAX);
        loop {
            datagram.clear();
            let length = self.socket.recv(&mut datagram, 0)?;
            if length > datagram.len() {
                return Err(io::Error::other(format!("a netlink datagram of {length} bytes")));
            }
            if answer.take(&datagram, self.sequence)? {
                return Ok(answer);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Answer {
    messages: Vec<RouteNetlinkMessage>,
    is_interrupted: bool,
}

/// `NLM_F_DUMP_INTR` of `linux/netlink.h`.
const DUMP_INTERRUPTED: u16 = 0x10;

impl Answer {
    /// Takes the messages of one datagram; whether they were the last.
    fn take(&mut self, datagram: &[u8], sequence: u32) -> io::Result<bool> {
        for bytes in messages(datagram) {
            let message = match NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) {
                Ok(message) => message,
                // A newer kernel may list what the parser does not know; the rest of the list is good.
                Err(error) => {
                    debug!(%error, "a netlink message that was not understood");
                    continue;
                }
            };
            if message.header.sequence_number != sequence {
                continue;
            }
            self.is_interrupted |= message.header.flags & DUMP_INTERRUPTED != 0;
            match message.payload {
                NetlinkPayload::InnerMessage(inner) => self.messages.push(inner),
                NetlinkPayload::Done(_) => return Ok(true),
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(true),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::Overrun(_) => {
                    return Err(io::Error::other("the netlink socket overran"));
                }
                NetlinkPayload::Noop => {}
                other => debug!(?other, "a netlink message of a new kind"),
            }
        }
        Ok(false)
    }
}

/// Cuts a datagram into its messages, each of which starts with its length and ends at a multiple of 4 (RFC 3549, 2.3.2).
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*datagram.first_chunk::<4>()?) as usize;
        let message = datagram.get(..length).filter(|message| message.len() >= 16)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32, fill: u8, bytes: usize) -> Vec<u8> {
        let mut message = vec![fill; bytes];
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message
    }

    #[test]
    fn a_datagram_is_cut_at_multiples_of_four() {
        let datagram = [message(17, 1, 20), message(16, 2, 16)].concat();
        let cut: Vec<_> = messages(&datagram).map(<[u8]>::len).collect();
        assert_eq!(cut, [17, 16]);
    }

    #[test]
    fn a_message_that_says_it_is_longer_than_the_datagram_ends_it() {
        for length in [0, 15, 40, u32::MAX] {
            assert_eq!(messages(&message(length, 0, 20)).count(), 0, "{length}");
        }
    }
}
