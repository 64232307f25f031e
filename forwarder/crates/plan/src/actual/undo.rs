//! What has to be undone later and cannot be told by looking at the host: the entries of the undo log.
//!
//! An entry is written before the change that it is about, and removed after that change was undone. Its text is meant for every
//! later version of `fwd`: lines of a key, a blank and a value, `kind` among them. Keys and kinds may be added; their meaning never
//! changes. Who meets a kind that he does not know leaves it and says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
};

use crate::{Interface, SysctlRecord, TargetRef};
use fwd_base::{hash::fnv, text::mac as mac_text};
use fwd_kernel::netns::Name;

/// An entry of the undo log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// `up` made a namespace, which `down` deletes.
    Netns {
        /// The name it was given.
        name: Name,
        /// Its cookie; none in a plan, before it is made. What has the name and another cookie is somebody else's.
        cookie: Option<u64>,
    },
    /// A sysctl was changed. One with the same value before and after was only looked at, for comparison.
    Sysctl(SysctlRecord),
    /// Masquerade in nftables.
    Masquerade {
        /// The network.
        network: String,
    },
    /// Rules for IPv6 in nftables.
    Rules6 {
        /// The network.
        network: String,
    },
    /// /etc/netns/NAME/resolv.conf was written.
    ResolvConf {
        /// Name of the namespace.
        ns: Name,
    },
    /// `lo` of somebody else's namespace was set up.
    Loopback {
        /// How it was given.
        ns: TargetRef,
        /// Its cookie.
        cookie: u64,
    },
}

impl Undo {
    /// The name of the entry's file: the same for the same thing. It begins with the kind; the number of a namespace comes last.
    #[must_use]
    pub fn key(&self) -> String {
        let hash = |text: &str| format!("{:016x}", fnv(text.bytes()));
        match self {
            Self::Netns { name, cookie } => format!("netns-{}-{}", hash(name.as_ref()), cookie.unwrap_or_default()),
            Self::Sysctl(SysctlRecord { path, interface, .. }) => {
                format!("sysctl-{}-{}", hash(path), interface.as_ref().map_or(0, |interface| interface.index))
            }
            Self::Masquerade { network } => format!("masquerade-{}-0", hash(network)),
            Self::Rules6 { network } => format!("rules6-{}-0", hash(network)),
            Self::ResolvConf { ns } => format!("resolv-{}-0", hash(ns.as_ref())),
            Self::Loopback { cookie, .. } => format!("lo-0-{cookie}"),
        }
    }

    /// Whether both have the same [key](Self::key): without writing it down, because each of thousands is compared with each.
    #[must_use]
    pub fn is_about_same(&self, other: &Self) -> bool {
        let index = |record: &SysctlRecord| record.interface.as_ref().map_or(0, |interface| interface.index);
        match (self, other) {
            (Self::Netns { name, cookie }, Self::Netns { name: other, cookie: its }) => {
                cookie.unwrap_or_default() == its.unwrap_or_default() && name == other
            }
            (Self::Sysctl(record), Self::Sysctl(other)) => record.path == other.path && index(record) == index(other),
            (Self::Masquerade { network }, Self::Masquerade { network: other })
            | (Self::Rules6 { network }, Self::Rules6 { network: other }) => network == other,
            (Self::ResolvConf { ns }, Self::ResolvConf { ns: other }) => ns == other,
            (Self::Loopback { cookie, .. }, Self::Loopback { cookie: other, .. }) => cookie == other,
            _ => false,
        }
    }

    /// The number of the interface that it is about, of those that are the user's.
    #[must_use]
    pub fn interface(&self) -> Option<u32> {
        let Self::Sysctl(SysctlRecord { interface, .. }) = self else { return None };
        interface.as_ref().map(|interface| interface.index)
    }

    /// Whether the entry with this key may matter to a command about the namespace of this name, and about endpoints whose
    /// namespaces have these cookies. What is the host's always does.
    #[must_use]
    pub fn may_concern(key: &str, name: Option<&Name>, cookies: &BTreeSet<u64>) -> bool {
        let mut parts = key.split('-');
        let (kind, hash, cookie) = (parts.next(), parts.next(), parts.next().and_then(|cookie| cookie.parse().ok()));
        let by_name = || name.is_some_and(|name| hash == Some(&format!("{:016x}", fnv(name.as_str().bytes()))));
        match kind {
            Some("netns" | "resolv" | "lo") => by_name() || cookie.is_some_and(|cookie| cookies.contains(&cookie)),
            _ => true,
        }
    }

    /// The entry as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn fmt::Display| {
            // A line is a line, whatever a path has in it.
            let value = value.to_string().replace(char::is_control, "?");
            // A string takes everything.
            _ = writeln!(text, "{key} {value}");
        };
        match self {
            Self::Netns { name, cookie } => {
                line("kind", &"netns");
                line("name", name);
                line("cookie", &cookie.unwrap_or_default());
            }
            Self::Sysctl(SysctlRecord { path, original, ours, interface }) => {
                line("kind", &"sysctl");
                line("path", path);
                line("original", original);
                line("ours", ours);
                if let Some(Interface { name, index, mac }) = interface {
                    line("interface", name);
                    line("index", index);
                    if let Some(mac) = mac {
                        line("mac", &mac_text(*mac));
                    }
                }
            }
            Self::Masquerade { network } => {
                line("kind", &"masquerade");
                line("network", network);
            }
            Self::Rules6 { network } => {
                line("kind", &"rules6");
                line("network", network);
            }
            Self::ResolvConf { ns } => {
                line("kind", &"resolv.conf");
                line("name", ns);
            }
            Self::Loopback { ns, cookie } => {
                line("kind", &"loopback");
                line("cookie", cookie);
                match ns {
                    TargetRef::Named(name) => line("name", name),
                    TargetRef::Path(path) | TargetRef::Awaited(path) => line("path", &path.display()),
                    TargetRef::Pid(_) | TargetRef::Container(_) => line("pid", &ns.pid().unwrap_or(0)),
                }
            }
        }
        text
    }

    /// The entry that a text describes; `None` if it is of a kind that this version does not know, or is none at all.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(' ')).collect();
        let field = |key: &str| fields.get(key).copied();
        let name = || Name::try_from(field("name")?).ok();
        let cookie = || field("cookie")?.parse().ok();
        match field("kind")? {
            "netns" => Some(Self::Netns { name: name()?, cookie: Some(cookie()?) }),
            "sysctl" => Some(Self::Sysctl(SysctlRecord {
                path: field("path")?.into(),
                original: field("original")?.into(),
                ours: field("ours")?.into(),
                interface: match field("interface") {
                    None => None,
                    Some(name) => Some(Interface {
                        name: name.into(),
                        index: field("index")?.parse().ok()?,
                        mac: field("mac").and_then(mac),
                    }),
                },
            })),
            "masquerade" => Some(Self::Masquerade { network: field("network")?.into() }),
            "rules6" => Some(Self::Rules6 { network: field("network")?.into() }),
            "resolv.conf" => Some(Self::ResolvConf { ns: name()? }),
            "loopback" => {
                let pid = || field("pid")?.parse().ok().map(TargetRef::Pid);
                let path = || field("path").map(|path| TargetRef::Path(path.into()));
                let ns = name().map(TargetRef::Named).or_else(pid).or_else(path)?;
                Some(Self::Loopback { ns, cookie: cookie()? })
            }
            _ => None,
        }
    }
}

/// `02:66:0a:4d:00:01` as bytes.
fn mac(text: &str) -> Option<fwd_kernel::netlink::Mac> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Netns { name, .. } => write!(f, "that namespace {name} is made by fwd"),
            Self::Sysctl(SysctlRecord { path, original, .. }) => write!(f, "the value {original} of {path}"),
            Self::Masquerade { network } => write!(f, "that network {network} has masquerade"),
            Self::Rules6 { network } => write!(f, "that network {network} has rules for IPv6"),
            Self::ResolvConf { ns } => write!(f, "that /etc/netns/{ns}/resolv.conf is written by fwd"),
            Self::Loopback { ns, .. } => write!(f, "that lo in {ns} was down"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        text.try_into().expect("a valid name")
    }

    fn record(interface: Option<Interface>) -> SysctlRecord {
        let path = "net/ipv4/conf/eth0/forwarding".into();
        SysctlRecord { path, original: "0".into(), ours: "1".into(), interface }
    }

    fn sysctl(interface: Option<Interface>) -> Undo {
        Undo::Sysctl(record(interface))
    }

    fn eth0(mac: Option<[u8; 6]>) -> Interface {
        Interface { name: "eth0".into(), index: 2, mac }
    }

    /// Other versions read it: what stands here once stays.
    #[test]
    fn text_stays_as_it_is() {
        for (entry, text) in [
            (Undo::Netns { name: name("a b"), cookie: Some(4711) }, "kind netns\nname a b\ncookie 4711\n"),
            (
                sysctl(Some(eth0(Some([2, 0, 0, 0, 0, 255])))),
                "kind sysctl\npath net/ipv4/conf/eth0/forwarding\noriginal 0\nours 1\ninterface eth0\nindex 2\nmac 02:00:00:00:00:ff\n",
            ),
            (sysctl(None), "kind sysctl\npath net/ipv4/conf/eth0/forwarding\noriginal 0\nours 1\n"),
            (Undo::Masquerade { network: "fwd0".into() }, "kind masquerade\nnetwork fwd0\n"),
            (Undo::Rules6 { network: "fwd0".into() }, "kind rules6\nnetwork fwd0\n"),
            (Undo::ResolvConf { ns: name("a") }, "kind resolv.conf\nname a\n"),
            (Undo::Loopback { ns: TargetRef::Pid(7), cookie: 9 }, "kind loopback\ncookie 9\npid 7\n"),
            (Undo::Loopback { ns: TargetRef::Path("/a b".into()), cookie: 9 }, "kind loopback\ncookie 9\npath /a b\n"),
        ] {
            assert_eq!(entry.to_text(), text);
            assert_eq!(Undo::from_text(text), Some(entry));
        }
    }

    #[test]
    fn unknown_kinds_and_nonsense_are_none() {
        for text in
            ["", "kind", "kind later\nname x\n", "kind netns\nname a/b\ncookie 1\n", "kind netns\nname a\ncookie x\n"]
        {
            assert_eq!(Undo::from_text(text), None, "{text:?}");
        }
        // What a later version adds does not disturb.
        let text = "kind netns\nname a\ncookie 7\nsince 2031\n";
        assert_eq!(Undo::from_text(text), Some(Undo::Netns { name: name("a"), cookie: Some(7) }));
    }

    #[test]
    fn path_cannot_say_more_than_a_path() {
        let path = "x\nkind netns\nname victim\ncookie 7".into();
        let text = Undo::Loopback { ns: TargetRef::Path(path), cookie: 9 }.to_text();
        assert!(matches!(Undo::from_text(&text), Some(Undo::Loopback { cookie: 9, .. })), "{text}");
    }

    #[test]
    fn keys_tell_what_concerns_a_namespace() {
        let cookies = BTreeSet::from([7]);
        let concerns = |entry: &Undo| Undo::may_concern(&entry.key(), Some(&name("a")), &cookies);
        let netns = |text, cookie| Undo::Netns { name: name(text), cookie: Some(cookie) };
        assert!(concerns(&netns("a", 8)) && concerns(&netns("b", 7)) && !concerns(&netns("b", 8)));
        assert!(concerns(&Undo::ResolvConf { ns: name("a") }) && !concerns(&Undo::ResolvConf { ns: name("b") }));
        let lo = |cookie| Undo::Loopback { ns: TargetRef::Pid(7), cookie };
        assert!(concerns(&lo(7)) && !concerns(&lo(8)));
        assert!(concerns(&sysctl(None)) && concerns(&Undo::Masquerade { network: "x".into() }));
    }

    #[test]
    fn entries_are_about_the_same_where_their_keys_are() {
        let netns = |text, cookie| Undo::Netns { name: name(text), cookie };
        let other = Interface { index: 3, ..eth0(None) };
        let arp = SysctlRecord { path: "net/ipv4/conf/eth0/arp_ignore".into(), ..record(None) };
        let entries = [
            netns("a", None),
            netns("a", Some(0)),
            netns("a", Some(7)),
            netns("b", Some(7)),
            sysctl(None),
            sysctl(Some(eth0(None))),
            sysctl(Some(eth0(Some([2; 6])))),
            sysctl(Some(other)),
            Undo::Sysctl(arp),
            Undo::Masquerade { network: "a".into() },
            Undo::Masquerade { network: "b".into() },
            Undo::Rules6 { network: "a".into() },
            Undo::ResolvConf { ns: name("a") },
            Undo::ResolvConf { ns: name("b") },
            Undo::Loopback { ns: TargetRef::Pid(7), cookie: 7 },
            Undo::Loopback { ns: TargetRef::Pid(8), cookie: 7 },
            Undo::Loopback { ns: TargetRef::Pid(7), cookie: 8 },
        ];
        for (one, other) in entries.iter().flat_map(|one| entries.iter().map(move |other| (one, other))) {
            assert_eq!(one.is_about_same(other), one.key() == other.key(), "{one} and {other}");
        }
    }

    proptest! {
        #[test]
        fn names_are_read_back(text in "[^/\\pC]{1,60}", cookie: u64) {
            prop_assume!(text != "." && text != "..");
            let entries = [
                Undo::Netns { name: name(&text), cookie: Some(cookie) },
                Undo::Masquerade { network: text.clone() },
                Undo::Rules6 { network: text.clone() },
                Undo::ResolvConf { ns: name(&text) },
            ];
            for entry in entries {
                prop_assert_eq!(Undo::from_text(&entry.to_text()), Some(entry));
            }
        }
    }
}
