//! Files of aardvark-dns, one a network, as text (aardvark-dns's config/mod.rs): the first line has the addresses at which it answers and, behind a
//! blank, whom it asks; each further line has a container: `ID IPV4S IPV6S NAMES[ SERVERS]`, lists with commas.

use std::{fmt::Display, net::IpAddr};

/// A container in a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::replacement) struct Entry {
    /// What podman calls the network.
    pub(in crate::replacement) network: String,
    /// Nothing leaves the network.
    pub(in crate::replacement) internal: bool,
    /// Where names are asked for.
    pub(in crate::replacement) gateways: Vec<IpAddr>,
    /// Whom the network's server asks; none where that is whom the host asks.
    pub(in crate::replacement) network_servers: Vec<IpAddr>,
    /// The container's id.
    pub(in crate::replacement) id: String,
    /// Its addresses.
    pub(in crate::replacement) addresses: Vec<IpAddr>,
    /// Its names.
    pub(in crate::replacement) names: Vec<String>,
    /// Whom is asked for it instead.
    pub(in crate::replacement) servers: Vec<IpAddr>,
}

/// Why something is no name in such a file.
pub(in crate::replacement) fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("name is empty"),
        _ if name.contains([',', '\n', ' ']) => Err("name contains invalid chars"),
        _ => Ok(()),
    }
}

impl Entry {
    /// The file with this container, once, of one that is there or is none yet.
    pub(super) fn added(&self, text: Option<&str>) -> String {
        let before = text.and_then(|text| without(text, &self.id));
        let mut text = before.unwrap_or_else(|| first(&list(&self.gateways), &self.network_servers));
        text.push_str(&self.line());
        text
    }

    fn line(&self) -> String {
        let of = |v4: bool| list(self.addresses.iter().filter(move |address| address.is_ipv4() == v4));
        let servers = if self.servers.is_empty() { String::new() } else { format!(" {}", list(&self.servers)) };
        format!("{} {} {} {}{servers}\n", self.id, of(true), of(false), list(&self.names))
    }

    /// Whether names that nobody has would be asked for in a circle: of the very server that asks.
    ///
    /// # Errors
    /// The words.
    pub(in crate::replacement) fn check_servers(entries: &[Self]) -> Result<(), String> {
        let owner = |server: &IpAddr| entries.iter().find(|entry| entry.gateways.contains(server));
        for entry in entries {
            for (server, what) in entry
                .servers
                .iter()
                .map(|it| (it, "DNS server"))
                .chain(entry.network_servers.iter().map(|it| (it, "network DNS server")))
            {
                if let Some(owner) = owner(server) {
                    return Err(format!(
                        "{what} {server} is the gateway of network \"{}\"; using it would cause aardvark-dns to forward queries to itself.",
                        owner.network
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The file without a container; none if nobody is left in it.
pub(super) fn without(text: &str, id: &str) -> Option<String> {
    let is_its = |line: &&str| line.split(' ').next() == Some(id);
    let mut lines = text.lines();
    let first = lines.next()?;
    let mut others = lines.filter(|line| !is_its(line)).peekable();
    others.peek()?;
    Some([first].into_iter().chain(others).map(|line| format!("{line}\n")).collect())
}

/// The file of a network that asks others from now on.
pub(super) fn with_servers(text: &str, servers: &[String]) -> String {
    let mut lines = text.lines();
    let gateways = lines.next().and_then(|first| first.split(' ').next()).unwrap_or_default();
    let rest = lines.map(|line| format!("{line}\n"));
    [first(gateways, servers)].into_iter().chain(rest).collect()
}

fn first(gateways: &str, servers: &[impl Display]) -> String {
    if servers.is_empty() { format!("{gateways}\n") } else { format!("{gateways} {}\n", list(servers)) }
}

fn list(items: impl IntoIterator<Item = impl Display>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    fn entry() -> Entry {
        Entry {
            network: "web".into(),
            internal: false,
            gateways: addresses(&["10.89.3.1", "fd10::1"]),
            network_servers: Vec::new(),
            id: "f0".into(),
            addresses: addresses(&["fd10::2", "10.89.3.2"]),
            names: vec!["db".into(), "sql".into()],
            servers: Vec::new(),
        }
    }

    #[test]
    fn lines_are_as_aardvark_reads_them() {
        let first = entry().added(None);
        assert_eq!(first, "10.89.3.1,fd10::1\nf0 10.89.3.2 fd10::2 db,sql\n");
        let (servers, network_servers) = (addresses(&["8.8.8.8", "1.1.1.1"]), addresses(&["9.9.9.9"]));
        let other = Entry { id: "f1".into(), addresses: addresses(&["10.89.3.3"]), servers, ..entry() };
        let both = other.added(Some(&first));
        assert_eq!(both, format!("{first}f1 10.89.3.3  db,sql 8.8.8.8,1.1.1.1\n"));
        let asked = Entry { network_servers, names: Vec::new(), ..entry() }.added(None);
        assert_eq!(asked, "10.89.3.1,fd10::1 9.9.9.9\nf0 10.89.3.2 fd10::2 \n");
        // Attached once more, it is there once.
        assert_eq!(other.added(Some(&both)), both);
    }

    #[test]
    fn containers_go_by_their_id_and_the_last_takes_the_file_along() {
        let text = "10.89.3.1 9.9.9.9\nf0 10.89.3.2  f1\nf1 10.89.3.3  f0\n";
        assert_eq!(without(text, "f1").as_deref(), Some("10.89.3.1 9.9.9.9\nf0 10.89.3.2  f1\n"), "names are no ids");
        assert_eq!(without(text, "f").as_deref(), Some(text), "nor are their beginnings");
        assert_eq!(without("10.89.3.1\nf0 10.89.3.2  f1\n", "f0"), None);
        assert_eq!(without("", "f0"), None);
    }

    #[test]
    fn servers_of_a_network_are_replaced() {
        let text = "10.89.3.1,fd10::1 9.9.9.9\nf0 10.89.3.2  a 8.8.8.8\n";
        let asked = with_servers(text, &["1.1.1.1".into(), "1.0.0.1".into()]);
        assert_eq!(asked, "10.89.3.1,fd10::1 1.1.1.1,1.0.0.1\nf0 10.89.3.2  a 8.8.8.8\n");
        assert_eq!(with_servers(&asked, &[]), "10.89.3.1,fd10::1\nf0 10.89.3.2  a 8.8.8.8\n");
    }

    #[test]
    fn nobody_is_asked_in_a_circle() {
        let back = Entry { network: "back".into(), gateways: addresses(&["10.89.4.1"]), ..entry() };
        let asks = |server: &str| Entry { servers: addresses(&[server]), ..entry() };
        assert!(Entry::check_servers(&[asks("8.8.8.8"), back.clone()]).is_ok());
        let said = Entry::check_servers(&[asks("10.89.4.1"), back.clone()]).expect_err("a circle");
        assert!(said.contains("10.89.4.1 is the gateway of network \"back\""), "{said}");
        let of_network = Entry { network_servers: addresses(&["fd10::1"]), ..entry() };
        assert!(Entry::check_servers(&[of_network]).expect_err("a circle").starts_with("network DNS server fd10::1"));
    }

    #[test]
    fn names_are_none_that_would_end_a_list_or_a_line() {
        assert!(check_name("db").is_ok());
        assert!(["", "a b", "a,b", "a\nb"].iter().all(|name| check_name(name).is_err()));
    }
}
