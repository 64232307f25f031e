//! `fwd stats`.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use forwarder_common::types::verdict::{DropReason, PuntReason};
use serde::{Serialize, Serializer};

use super::{
    Look, PlaceView, Tone, View,
    table::{Grid, Holds, plain, toned},
    write_warning,
};
use fwd_base::text::Untrusted;
use fwd_dataplane::VERDICTS;

/// Packets of one hook of one interface that had one verdict.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct StatView {
    /// Interface; empty for packets that came from one that is no endpoint.
    pub ifname: Untrusted,
    /// Where it leads, if to a namespace.
    #[serde(flatten)]
    pub place: PlaceView,
    /// `from_ns`, `to_ns`, `to_network`, `from_uplink` or `to_uplink`.
    pub hook: String,
    /// `forwarded`, `punted` or `dropped`.
    pub verdict: String,
    /// Why it was punted or dropped.
    pub reason: Option<String>,
    /// Packets, as on the wire.
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

impl StatView {
    /// The interface as it is shown: of a namespace, the one inside.
    fn interface(&self) -> String {
        let outside = || if self.ifname.exact().is_empty() { "-".into() } else { self.ifname.to_string() };
        self.place.whole().unwrap_or_else(outside)
    }

    /// The order of listings: along the way of a packet, good news first.
    #[must_use]
    pub fn sort_key(&self) -> impl Ord + use<> {
        let verdict = VERDICTS.iter().position(|verdict| *verdict == self.verdict);
        (
            !self.hook.ends_with("_ns"),
            self.place.whole(),
            self.ifname.clone(),
            self.hook.clone(),
            verdict,
            self.reason.clone(),
        )
    }
}

/// The result of `fwd stats`.
#[derive(Clone, Debug)]
pub struct StatsView {
    /// Every counter; the JSON document.
    pub stats: Vec<StatView>,
    /// Whether the table has the counters that are zero.
    pub all: bool,
    /// Whether the reasons in the table are explained below it; in text only.
    pub explain: bool,
    /// What keeps packets from getting through, each with the remedy; said in text only.
    pub warnings: Vec<String>,
}

impl Serialize for StatsView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.stats.serialize(serializer)
    }
}

impl View for StatsView {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<_> = self.stats.iter().filter(|stat| self.all || stat.packets > 0).collect();
        if rows.is_empty() {
            writeln!(out, "no packets yet")?;
            return self.warnings.iter().try_for_each(|warning| write_warning(warning, look, out));
        }
        let columns = [
            ("INTERFACE", Holds::Text),
            ("HOOK", Holds::Text),
            ("VERDICT", Holds::Text),
            ("REASON", Holds::Text),
            ("PACKETS", Holds::Number),
            ("BYTES", Holds::Number),
        ];
        let mut grid = Grid::new(look, &columns);
        let mut previous = None;
        for stat in &rows {
            // Every row names its interface and hook, for grep; repetitions step back.
            let place = Some((&stat.ifname, &stat.hook));
            let tone = if previous == place { Tone::Dim } else { Tone::Plain };
            previous = place;
            grid.row(vec![
                toned(stat.interface(), tone),
                toned(&stat.hook, tone),
                toned(&stat.verdict, verdict_tone(&stat.verdict, stat.reason.as_deref())),
                plain(stat.reason.as_deref().unwrap_or("-")),
                plain(stat.packets),
                plain(stat.bytes),
            ]);
        }
        grid.write(0, out)?;
        let reasons: BTreeSet<_> = rows.iter().filter_map(|stat| stat.reason.as_deref()).collect();
        if self.explain {
            reasons.iter().try_for_each(|reason| explain(reason, look, out))?;
        } else if !reasons.is_empty() {
            let hint = format!("\n`{} stats --explain` tells what the reasons mean", look.fwd);
            writeln!(out, "{}", look.paint(Tone::Dim, &hint))?;
        }
        self.warnings.iter().try_for_each(|warning| write_warning(warning, look, out))
    }
}

/// What a reason means, and what can be done about it.
pub(super) fn explain(reason: &str, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    let punt = PuntReason::ALL.iter().find(|punt| punt.name() == reason).map(|punt| (punt.meaning(), punt.advice()));
    let drop = DropReason::ALL.iter().find(|drop| drop.name() == reason).map(|drop| (drop.meaning(), drop.advice()));
    let Some((meaning, advice)) = punt.or(drop) else { return Ok(()) };
    writeln!(out, "\n{}  {}", look.paint(Tone::Strong, reason), meaning.trim())?;
    writeln!(out, "  {} {advice}", look.paint(Tone::Hint, "→"))
}

/// The colour of a verdict. What every namespace sends by itself is nothing to worry about.
pub(super) fn verdict_tone(verdict: &str, reason: Option<&str>) -> Tone {
    match (verdict, reason) {
        ("forwarded", _) => Tone::Good,
        ("dropped", Some(reason)) if reason == DropReason::Ipv6.name() => Tone::Dim,
        ("dropped", _) => Tone::Bad,
        _ => Tone::Plain,
    }
}
