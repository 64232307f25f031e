//! `fwd uplink`.

use std::{
    io::{self, Write},
    net::Ipv4Addr,
};

use serde::Serialize;

use super::{
    Listing, Look, Tone, View,
    table::{Grid, Holds, plain, toned},
};
use fwd_base::text::Untrusted;

/// Who wants an interface to be an uplink: routes of the host lead by it, a command has asked for it.
pub const UPLINK_REASONS: [&str; 2] = ["route", "command"];

/// An interface that networks leave by, or would: an item of `fwd uplink ls`.
#[derive(Clone, Debug, Serialize)]
pub struct UplinkView {
    /// Its name now, or the one that it had.
    pub uplink: Untrusted,
    /// Its ifindex.
    pub ifindex: u32,
    /// Address behind which endpoints appear where a route names no other; none if it has none.
    pub address: Option<Ipv4Addr>,
    /// One of [`UPLINK_STATES`](super::UPLINK_STATES).
    pub state: String,
    /// Whether programs guard it, so that networks may leave by it.
    pub guarded: bool,
    /// Nothing that programs forward leaves by it: nftables translates what does.
    #[serde(skip)]
    pub unguarded_on_purpose: bool,
    /// Why it is one: of [`UPLINK_REASONS`].
    pub by: Vec<String>,
    /// Where its programs stand among those of others: `first` or `last`.
    pub tcx_order: String,
    /// Networks that have it for their own.
    pub networks: Vec<Untrusted>,
}

impl UplinkView {
    /// `network fwd0, route`.
    fn reasons(&self) -> String {
        let networks = self.networks.iter().map(|network| format!("network {network}"));
        let reasons: Vec<String> = networks.chain(self.by.iter().cloned()).collect();
        if reasons.is_empty() { "-".into() } else { reasons.join(", ") }
    }
}

impl Listing for UplinkView {
    fn text(items: &[Self], look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if items.is_empty() {
            return writeln!(out, "no uplinks\n  {} {} up --ns NAME", look.paint(Tone::Hint, "try:"), look.fwd);
        }
        let columns = [
            ("UPLINK", Holds::Text),
            ("ADDRESS", Holds::Text),
            ("STATE", Holds::Text),
            ("ASKED FOR BY", Holds::Text),
            ("GUARDED", Holds::Text),
        ];
        let mut grid = Grid::new(look, &columns);
        for item in items {
            let remedy = || toned(format!("no: {} uplink add {}", look.fwd, item.uplink), Tone::Warn);
            grid.row(vec![
                plain(&item.uplink),
                plain(item.address.map_or_else(|| "-".into(), |address| address.to_string())),
                if item.state == "up" { plain(&item.state) } else { toned(&item.state, Tone::Bad) },
                plain(item.reasons()),
                match (item.guarded, item.state.as_str()) {
                    (true, _) if item.tcx_order == "last" => toned("yes, behind others", Tone::Good),
                    (true, _) => toned("yes", Tone::Good),
                    (false, "gone") => plain("-"),
                    (false, _) if item.unguarded_on_purpose => plain("by nftables"),
                    (false, _) => remedy(),
                },
            ]);
        }
        grid.write(0, out)
    }
}

/// What `fwd uplink add` and `fwd uplink rm` have done.
#[derive(Clone, Debug, Serialize)]
pub struct UplinksChange {
    /// Whether anything had to be done.
    pub changed: bool,
    /// The uplinks that are guarded now.
    pub uplinks: Vec<Untrusted>,
}

impl View for UplinksChange {
    fn text(&self, _: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { changed, uplinks } = self;
        let unchanged = if *changed { "" } else { "nothing changed: " };
        let names: Vec<String> = uplinks.iter().map(ToString::to_string).collect();
        let lead = if names.len() == 1 { "the uplink is" } else { "the uplinks are" };
        writeln!(out, "{unchanged}{lead} {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::text;

    fn uplink(name: &str) -> UplinkView {
        UplinkView {
            uplink: name.into(),
            ifindex: 2,
            address: Some(Ipv4Addr::new(198, 51, 100, 2)),
            state: "up".into(),
            guarded: true,
            unguarded_on_purpose: false,
            by: vec!["route".into()],
            tcx_order: "first".into(),
            networks: vec!["fwd0".into()],
        }
    }

    #[test]
    fn uplinks_are_listed_with_who_asked_for_them_and_what_is_missing() {
        let (address, networks) = (None, Vec::new());
        let asked = UplinkView { by: vec!["route".into(), "command".into()], networks: Vec::new(), ..uplink("wg0") };
        let open = UplinkView { guarded: false, address, networks, ..uplink("ppp0") };
        let gone = UplinkView { state: "gone".into(), by: Vec::new(), guarded: false, ..uplink("eth1") };
        let listed = text(&vec![uplink("eth0"), asked, open, gone], None);
        let lines: Vec<String> =
            listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[1], "eth0 198.51.100.2 up network fwd0, route yes");
        assert_eq!(lines[2], "wg0 198.51.100.2 up route, command yes");
        assert_eq!(lines[3], "ppp0 - up route no: fwd --host-netns box uplink add ppp0");
        assert_eq!(lines[4], "eth1 198.51.100.2 gone network fwd0 -");
        assert!(text(&Vec::<UplinkView>::new(), None).contains("up --ns NAME"));
    }

    #[test]
    fn change_says_what_there_is_now() {
        let change = |uplinks: &[&str], changed| UplinksChange {
            changed,
            uplinks: uplinks.iter().map(|name| (*name).into()).collect(),
        };
        assert_eq!(text(&change(&["eth0", "wg0"], true), None), "the uplinks are eth0, wg0\n");
        assert_eq!(text(&change(&["eth0"], false), None), "nothing changed: the uplink is eth0\n");
    }
}
