//! The graph of states, as a table: RFC 7857, RFC 6146 (3.5.2) and RFC 5382.

use super::*;

const FIN_ACK: TcpFlags = TcpFlags::from_bits(0x11);
const SYN_ACK: TcpFlags = TcpFlags::from_bits(0x12);
const RST_ACK: TcpFlags = TcpFlags::from_bits(0x14);
const PSH_ACK: TcpFlags = TcpFlags::from_bits(0x18);

/// The columns of [`GRAPH`], once from the client and once from the backend.
const COLUMNS: [TcpFlags; 7] =
    [TcpFlags::SYN, SYN_ACK, TcpFlags::ACK, PSH_ACK, FIN_ACK, TcpFlags::RST, RST_ACK];

/// State, what a packet of the client makes of it, what a packet of the backend makes of it.
///
/// s: SYN sent, r: SYN received, E: established, c: FIN of the client, b: FIN of the backend,
/// X: closing, R: reset.
#[rustfmt::skip]
const GRAPH: [(char, &str, &str); 7] = [
    //    SYN S+A ACK PSH FIN RST R+A   SYN S+A ACK PSH FIN RST R+A
    ('s', "s   s   s   s   s   R   R", "s   r   s   s   s   R   R"),
    ('r', "r   r   E   E   c   R   R", "r   r   r   r   b   R   R"),
    ('E', "E   E   E   E   c   R   R", "E   E   E   E   b   R   R"),
    ('c', "c   c   c   c   c   R   R", "c   c   c   c   X   R   R"),
    ('b', "b   b   b   b   X   R   R", "b   b   b   b   b   R   R"),
    ('X', "X   X   X   X   X   X   X", "X   X   X   X   X   X   X"),
    ('R', "R   R   E   E   c   R   R", "R   R   E   E   b   R   R"),
];

fn state(letter: char) -> FlowState {
    match letter {
        's' => FlowState::SynSent,
        'r' => FlowState::SynReceived,
        'E' => FlowState::Established,
        'c' => FlowState::FinClient,
        'b' => FlowState::FinBackend,
        'X' => FlowState::Closing,
        'R' => FlowState::Reset,
        other => panic!("{other}"),
    }
}

#[test]
fn every_packet_in_every_state_leads_where_the_graph_says() {
    for (from, by_client, by_backend) in GRAPH {
        for (direction, row) in [(Direction::Original, by_client), (Direction::Reply, by_backend)] {
            let want: Vec<char> =
                row.split_whitespace().map(|s| s.chars().next().unwrap()).collect();
            assert_eq!(want.len(), COLUMNS.len());
            for (flags, to) in COLUMNS.into_iter().zip(want) {
                let after = state(from).after(direction, flags);
                assert_eq!(after, state(to), "{} {direction:?} {flags}", state(from));
            }
        }
    }
}

#[test]
fn the_first_answer_of_a_backend_makes_a_udp_flow_a_conversation_for_good() {
    let none = TcpFlags::default();
    let [unreplied, replied] = [FlowState::UdpUnreplied, FlowState::UdpReplied];
    assert_eq!(unreplied.after(Direction::Original, none), unreplied);
    assert_eq!(unreplied.after(Direction::Reply, none), replied);
    assert_eq!(replied.after(Direction::Original, none), replied);
    assert_eq!(replied.after(Direction::Reply, none), replied);
}

#[test]
fn only_what_both_sides_have_ended_may_be_replaced() {
    let over: Vec<FlowState> = FlowState::ALL.into_iter().filter(|state| state.is_over()).collect();
    assert_eq!(over, [FlowState::Closing, FlowState::Reset]);
}

#[test]
fn numbers_in_the_file_are_stable_and_zero_is_none() {
    let numbers: Vec<u8> = FlowState::ALL.into_iter().map(|state| state as u8).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for number in 0..=u8::MAX {
        let state = FlowState::from_number(number);
        assert_eq!(state.map_or(0, |state| state as u8), if number > 9 { 0 } else { number });
    }
}

#[test]
fn half_closed_flows_live_by_the_established_timer() {
    let timeouts = timeouts();
    let established = timeouts.of(FlowState::Established);
    assert!(established > 74_400, "RFC 5382, REQ-5: not less than 2 h 4 min");
    assert_eq!(timeouts.of(FlowState::FinClient), established);
    assert_eq!(timeouts.of(FlowState::FinBackend), established);
}
