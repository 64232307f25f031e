//! `fwd trace`.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    net::IpAddr,
};

use serde::Serialize;

use super::{Look, PlaceView, Tone, View, flow::socket, stat::explain, units};
use fwd_base::text::Untrusted;

/// A packet at a hook.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct TraceView {
    /// Since the trace began, nanoseconds.
    pub time_ns: u64,
    /// Since the beginning of 1970 (UTC), nanoseconds.
    pub unix_ns: u64,
    /// Since the same packet was at another hook, nanoseconds.
    pub since_ns: Option<u64>,
    /// How long the program took, the tracing included, nanoseconds.
    pub took_ns: u32,
    /// The program: `from_ns`, `from_uplink`, `to_uplink`, `to_network`, and so on.
    pub hook: String,
    /// The interface of the hook.
    pub ifname: Untrusted,
    /// Where the packet is from or for.
    #[serde(flatten)]
    pub place: PlaceView,
    /// `tcp`, `udp`, `icmp`, `arp`, …
    pub proto: String,
    /// Source address, as the packet came.
    pub src_addr: Option<IpAddr>,
    /// Source port.
    pub src_port: Option<u16>,
    /// Destination address.
    pub dst_addr: Option<IpAddr>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// Flags of a TCP segment, such as `SA`.
    pub tcp_flags: Option<String>,
    /// What an ICMP or ARP message is.
    pub message: Option<String>,
    /// Identifier of an ICMP query or its answer.
    pub icmp_id: Option<u16>,
    /// Identification of IPv4.
    pub ip_id: Option<u16>,
    /// Where a fragment begins, bytes.
    pub fragment: Option<u16>,
    /// From the network header on, bytes.
    pub length: u32,
    /// Segments on the wire, of a GSO packet.
    pub segments: u32,
    /// `forwarded`, `delivered`, `punted`, `dropped`, or `passed` if it is not the business of `fwd`.
    pub verdict: String,
    /// Why it was punted or dropped.
    pub reason: Option<String>,
    /// What the translation has written: an address and a port (of ICMP the identifier).
    pub nat_addr: Option<IpAddr>,
    /// See `nat_addr`.
    pub nat_port: Option<u16>,
    /// Whether that was written as the source; otherwise as the destination.
    pub nat_source: bool,
    /// Slot of the packet's flow.
    pub flow: Option<u32>,
    /// State of that flow, after the packet.
    pub state: Option<String>,
}

/// Columns: when, how long, and the packet.
const TIME: usize = 10;
const LENGTH: usize = 5;
const PACKET: usize = 42;
/// Columns of the hook, at least and at most.
const HOOK: (usize, usize) = (11, 24);
/// Columns of most verdicts. A terminal that is too narrow for them gets them on a line of their own.
const VERDICT: usize = 36;

/// What is traced.
pub struct TraceHead {
    /// Whose packets: `mynet`, or `2 endpoints`.
    pub whose: String,
    /// How many lines at most.
    pub count: Option<u64>,
    /// Columns of the longest name of a hook and its place.
    pub hook: usize,
}

/// A packet at a hook, as a line.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct TraceLine {
    /// The packet.
    #[serde(flatten)]
    pub view: TraceView,
    /// Columns of the hook: see [`TraceHead::hook`].
    #[serde(skip)]
    pub hook: usize,
}

impl TraceHead {
    /// Columns of the hook and its place.
    #[must_use]
    pub fn hook(&self) -> usize {
        self.hook.clamp(HOOK.0, HOOK.1)
    }

    /// Writes what is traced, and the titles of the columns.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let end = self.count.map_or_else(|| "until Ctrl-C".into(), |count| units::counted(count, "line"));
        writeln!(out, "{}", look.paint(Tone::Strong, &format!("{}, {end}", self.whose)))?;
        let legend = [
            "TIME in seconds, or + since the same packet's former hook",
            "#: slot of the packet's flow, which is established unless said otherwise",
            "passed: nothing for fwd to do; punted: left to the kernel",
        ];
        legend.iter().try_for_each(|line| writeln!(out, "{}", look.paint(Tone::Dim, line)))?;
        let hook = self.hook();
        let mut titles = format!("{:>TIME$}  {:<hook$}  {:>LENGTH$}  {:<PACKET$}", "TIME", "HOOK", "BYTES", "PACKET");
        if !is_narrow(look, hook) {
            titles.push_str("  VERDICT");
        }
        writeln!(out, "\n{}", look.paint(Tone::Dim, titles.trim_end()))
    }
}

fn is_narrow(look: &Look, hook: usize) -> bool {
    look.width.is_some_and(|width| usize::from(width) < TIME + hook + LENGTH + PACKET + VERDICT + 4 * 2)
}

impl View for TraceLine {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let Self { view, hook } = self;
        let time = match view.since_ns {
            Some(ns) => format!("{:>TIME$}", format!("+{}", units::latency(ns))),
            None => format!("{:>3}.{:06}", view.time_ns / 1_000_000_000, view.time_ns / 1000 % 1_000_000),
        };
        let place = fitted(&view.place(), *hook);
        let packet = format!("{:<PACKET$}", view.packet());
        let verdict = look.paint(view.tone(), &view.verdict_text());
        let flow = look.paint(Tone::Dim, &view.flow_text());
        write!(out, "{}  {place}  {:>LENGTH$}  ", look.paint(Tone::Dim, &time), view.length)?;
        if is_narrow(look, *hook) {
            return writeln!(out, "{}\n{:>indent$}{verdict}{flow}", packet.trim_end(), "", indent = TIME + 2);
        }
        writeln!(out, "{packet}  {verdict}{flow}")
    }
}

impl TraceView {
    /// `from_ns mynet`, `from_ns mynet eth1`, `to_uplink eth0`.
    fn place(&self) -> String {
        let inside = self.place.short().filter(|_| self.hook.ends_with("from_ns"));
        format!("{} {}", self.hook, inside.unwrap_or_else(|| self.ifname.to_string()))
    }

    /// `tcp 10.77.0.2:1234 > 203.0.113.1:443 S`.
    fn packet(&self) -> String {
        let mut words = vec![self.proto.clone()];
        if let (Some(src), Some(dst)) = (self.src_addr, self.dst_addr) {
            words.push(format!("{} > {}", socket(src, self.src_port), socket(dst, self.dst_port)));
        }
        words.extend(self.tcp_flags.clone().filter(|flags| !flags.is_empty()));
        words.extend(self.message.clone());
        words.extend(self.icmp_id.map(|id| format!("id {id}")));
        words.extend(self.fragment.map(|from| format!("fragment at {from}")));
        if self.segments > 1 {
            words.push(format!("in {} segments", self.segments));
        }
        words.join(" ")
    }

    fn tone(&self) -> Tone {
        match self.verdict.as_str() {
            "forwarded" | "delivered" => Tone::Good,
            "punted" => Tone::Warn,
            "dropped" => Tone::Bad,
            _ => Tone::Dim,
        }
    }

    /// `forwarded as 198.51.100.2:5000`, `dropped: SpoofedSource`.
    fn verdict_text(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let nat = self.nat_addr.map(|addr| {
            let new = match self.icmp_id.and(self.nat_port) {
                Some(id) => format!("{addr} id {id}"),
                None => socket(addr, self.nat_port),
            };
            format!(" {} {new}", if self.nat_source { "as" } else { "to" })
        });
        format!("{}{reason}{}", self.verdict, nat.unwrap_or_default())
    }

    /// ` #17 half-open`, ` #17` of an established flow.
    fn flow_text(&self) -> String {
        let Some(flow) = self.flow else { return String::new() };
        let state = self.state.as_deref().filter(|state| *state != "established");
        format!(" #{flow}{}", state.map(|state| format!(" {state}")).unwrap_or_default())
    }
}

/// `text` in `width` columns: filled with spaces, or cut.
fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() > width {
        return text.chars().take(width - 1).chain(['…']).collect();
    }
    format!("{text:<width$}")
}

/// Explains the reasons that were shown, below the last line.
///
/// # Errors
/// Those of `out`.
pub fn write_trace_reasons(reasons: &BTreeSet<String>, look: &Look, out: &mut dyn Write) -> io::Result<()> {
    reasons.iter().try_for_each(|reason| explain(reason, look, out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::look;

    fn view() -> TraceView {
        TraceView {
            time_ns: 3_586_427_120,
            took_ns: 8112,
            hook: "from_ns".into(),
            ifname: "fwdv5ca9ba34f".into(),
            place: PlaceView::sample("mynet", "eth0"),
            proto: "tcp".into(),
            src_addr: Some([10, 77, 0, 2].into()),
            src_port: Some(48138),
            dst_addr: Some([203, 0, 113, 1].into()),
            dst_port: Some(443),
            tcp_flags: Some("S".into()),
            ip_id: Some(4660),
            length: 60,
            segments: 1,
            verdict: "forwarded".into(),
            nat_addr: Some([198, 51, 100, 2].into()),
            nat_port: Some(10866),
            nat_source: true,
            flow: Some(4),
            state: Some("half-open".into()),
            ..TraceView::default()
        }
    }

    fn line(view: TraceView, width: impl Into<Option<u16>>) -> String {
        let mut out = Vec::new();
        TraceLine { view, hook: 16 }.text(&look(width), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn line_tells_where_what_and_why() {
        let text = line(view(), None);
        let packet = "  3.586427  from_ns mynet        60  tcp 10.77.0.2:48138 > 203.0.113.1:443 S";
        assert_eq!(text, format!("{packet:<79}  forwarded as 198.51.100.2:10866 #4 half-open\n"));
        let established = TraceView { state: Some("established".into()), ..view() };
        assert!(line(established, None).ends_with("10866 #4\n"), "what is usual is not said");
    }

    #[test]
    fn second_interface_of_a_namespace_is_named() {
        let second = TraceView { place: PlaceView::sample("web", "eth1"), ..view() };
        assert!(line(second, None).contains("  from_ns web eth1 "));
    }

    #[test]
    fn later_hook_tells_how_long_after_the_former() {
        let next = TraceView {
            since_ns: Some(69_200),
            hook: "to_uplink".into(),
            ifname: "eth0".into(),
            verdict: "passed".into(),
            nat_addr: None,
            flow: None,
            ..view()
        };
        let text = line(next, None);
        assert!(text.starts_with("   +69.2µs  to_uplink eth0       60  tcp"), "{text}");
        assert!(text.ends_with("  passed\n"), "{text}");
    }

    #[test]
    fn drop_names_its_reason_and_no_translation() {
        let (verdict, reason) = ("dropped".into(), Some("SpoofedSource".into()));
        let dropped = TraceView { verdict, reason, nat_addr: None, flow: None, ..view() };
        assert!(line(dropped, None).ends_with("dropped: SpoofedSource\n"));
    }

    #[test]
    fn query_has_its_identifier_where_others_have_ports() {
        let (icmp_id, message) = (Some(7), Some("echo".into()));
        let none = (None, None, None);
        let (src_port, dst_port, tcp_flags) = none;
        let query = TraceView {
            proto: "icmp".into(),
            icmp_id,
            message,
            src_port,
            dst_port,
            tcp_flags,
            nat_port: Some(9),
            ..view()
        };
        let text = line(query, None);
        assert!(
            text.contains("icmp 10.77.0.2 > 203.0.113.1 echo id 7 ") && text.contains("as 198.51.100.2 id 9"),
            "{text}"
        );
    }

    #[test]
    fn names_of_others_are_harmless_and_cut() {
        let odd = TraceView { place: PlaceView::sample("a\u{1b}[31m-very-long-name", "eth0"), ..view() };
        let text = line(odd, None);
        assert!(!text.contains('\u{1b}') && text.contains("from_ns a\\u{1b}…"), "{text}");
    }

    #[test]
    fn narrow_terminal_gets_the_verdict_below() {
        let text = line(view(), 80);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let head = TraceHead { whose: "mynet".into(), count: Some(5), hook: 16 };
        let mut out = Vec::new();
        head.text(&look(80), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("mynet, 5 lines\n") && !text.contains("VERDICT"), "{text}");
    }

    #[test]
    fn docs_name_every_key() {
        let line = serde_json::to_value(TraceLine { view: view(), hook: 16 }).unwrap();
        let docs = include_str!("../../../../docs/json.md");
        let section = docs.split_once("\n## trace\n").and_then(|(_, rest)| rest.split("\n## ").next()).unwrap();
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert!(keys.iter().all(|key| section.contains(&format!("| `{key}` |"))), "{keys:?}");
        let rows = section.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, keys.len(), "no key is documented that is not there");
    }
}
