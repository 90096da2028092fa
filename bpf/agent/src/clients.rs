//! Rows of `clients`: whose addresses the sockets of a network namespace have, for ClientIP affinity.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::layout::{Address, Client};
use crate::namespaces::Namespace;

/// What the map holds.
#[derive(Debug, Default)]
pub struct Clients {
    rows: BTreeMap<u64, Client>,
}

/// One write.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put(u64, Client),
    Delete(u64),
}

impl Clients {
    /// As the map says that it holds.
    pub fn adopt(rows: impl IntoIterator<Item = (u64, Client)>) -> Self {
        Self { rows: rows.into_iter().collect() }
    }

    /// The writes from what the map holds to these namespaces. `host`: the cookie of the node's own, whose many
    /// addresses are represented by those that it speaks from.
    pub fn follow(&mut self, found: &[Namespace], host: Option<(u64, Client)>) -> Vec<Write> {
        let mut wanted: BTreeMap<u64, Client> = found
            .iter()
            .filter_map(|it| {
                let address = |it: Option<IpAddr>| it.map(Address::from).unwrap_or_default();
                let client = Client {
                    ipv4: address(it.ipv4.map(IpAddr::V4)),
                    ipv6: address(it.ipv6.map(IpAddr::V6)),
                };
                (client != Client::default()).then_some((it.cookie?, client))
            })
            .collect();
        wanted.extend(host);
        let gone = self.rows.keys().filter(|cookie| !wanted.contains_key(cookie));
        let mut writes: Vec<Write> = gone.copied().map(Write::Delete).collect();
        let is_new = |(cookie, client): &(&u64, &Client)| self.rows.get(cookie) != Some(client);
        let puts = wanted.iter().filter(is_new);
        writes.extend(puts.map(|(cookie, client)| Write::Put(*cookie, *client)));
        self.rows = wanted;
        writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(cookie: Option<u64>, ipv4: Option<[u8; 4]>) -> Namespace {
        let ipv4 = ipv4.map(Into::into);
        Namespace { path: "/run/netns/x".into(), cookie, ipv4, ipv6: None }
    }

    fn client(ipv4: [u8; 4]) -> Client {
        Client { ipv4: IpAddr::from(ipv4).into(), ipv6: Address::default() }
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut clients = Clients::adopt([(1, client([10, 0, 0, 1])), (9, client([10, 0, 0, 9]))]);
        let found =
            [namespace(Some(1), Some([10, 0, 0, 1])), namespace(Some(2), Some([10, 0, 0, 2]))];
        let expected = vec![Write::Delete(9), Write::Put(2, client([10, 0, 0, 2]))];
        assert_eq!(clients.follow(&found, None), expected);
        assert_eq!(clients.follow(&found, None), []);
    }

    #[test]
    fn a_namespace_without_cookie_or_address_has_no_row() {
        let found = [namespace(None, Some([10, 0, 0, 1])), namespace(Some(3), None)];
        assert_eq!(Clients::default().follow(&found, None), []);
    }

    #[test]
    fn the_node_itself_is_the_address_that_it_speaks_from() {
        let found = [namespace(Some(1), Some([192, 0, 2, 1]))];
        let host = (1, client([172, 26, 50, 101]));
        let expected = vec![Write::Put(1, client([172, 26, 50, 101]))];
        assert_eq!(Clients::default().follow(&found, Some(host)), expected);
    }
}
