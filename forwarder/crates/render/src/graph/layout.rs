//! Where boxes are: namespaces to the left, then bridges, uplinks, and the outside. Pure arithmetic, so that tests see that no two
//! overlap.

use super::GraphView;

/// Pixels from the edge, and between boxes.
const MARGIN: f64 = 24.0;
const GAP: f64 = 16.0;
/// Between columns: room for the lines.
const BETWEEN: f64 = 88.0;
/// Of a line of text, of the title, and above and below them.
const LINE: f64 = 17.0;
const TITLE: f64 = 20.0;
const PADDING: f64 = 11.0;
/// Of a letter, at most, and of the narrowest box.
const LETTER: f64 = 7.6;
const NARROWEST: f64 = 132.0;

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Namespace,
    OwnBridge,
    OtherBridge,
    Uplink,
    Outside,
}

/// A box with text.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) kind: Kind,
    pub(super) title: String,
    pub(super) lines: Vec<String>,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Placed {
    fn new(kind: Kind, title: String, lines: Vec<String>) -> Self {
        let longest = lines.iter().chain([&title]).map(|line| line.chars().count()).max().unwrap_or(0);
        let width = (longest as f64 * LETTER + 2.0 * PADDING).max(NARROWEST);
        let height = TITLE + LINE * lines.len() as f64 + 2.0 * PADDING;
        Self { kind, title, lines, x: 0.0, y: 0.0, width, height }
    }

    fn middle(&self) -> f64 {
        self.y + self.height / 2.0
    }

    /// Where a line of text begins, from the top: the title is 0.
    pub(super) fn baseline(&self, line: usize) -> f64 {
        let below = if line == 0 { 0.0 } else { 5.0 };
        self.y + PADDING + 14.0 + LINE * line as f64 + below
    }

    /// Where text begins.
    pub(super) fn left(&self) -> f64 {
        self.x + PADDING
    }
}

/// A line from the right side of a box to the left side of another.
pub(super) struct Joined {
    pub(super) from: (f64, f64),
    pub(super) to: (f64, f64),
    pub(super) own: bool,
}

/// Everything with its place.
pub(super) struct Layout {
    pub(super) boxes: Vec<Placed>,
    pub(super) lines: Vec<Joined>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A group of ports with their bridge.
struct Group {
    ports: Vec<Placed>,
    bridge: Placed,
}

/// Places everything.
pub(super) fn layout(view: &GraphView) -> Layout {
    let mut groups: Vec<Group> = view.bridges.iter().map(group).collect();
    let widest = |boxes: &mut dyn Iterator<Item = f64>| boxes.fold(NARROWEST, f64::max);
    let ports = widest(&mut groups.iter().flat_map(|group| &group.ports).map(|it| it.width));
    let bridges = widest(&mut groups.iter().map(|group| group.bridge.width));
    let mut uplinks: Vec<Placed> = view
        .uplinks
        .iter()
        .map(|uplink| Placed::new(Kind::Uplink, uplink.uplink.to_string(), uplink.lines()))
        .collect();
    let third = MARGIN + ports + BETWEEN + bridges + BETWEEN;
    let mut y = MARGIN;
    for group in &mut groups {
        y = place(group, y, ports, bridges) + 2.0 * GAP;
    }
    let tall: f64 = uplinks.iter().map(|it| it.height + GAP).sum::<f64>() - GAP;
    let middle = ((y - 2.0 * GAP + MARGIN) / 2.0).max(MARGIN + tall.max(0.0) / 2.0);
    let mut top = middle - tall / 2.0;
    let last = widest(&mut uplinks.iter().map(|it| it.width));
    for uplink in &mut uplinks {
        (uplink.x, uplink.y, uplink.width) = (third, top, last);
        top += uplink.height + GAP;
    }
    let mut outside = Placed::new(Kind::Outside, "outside".into(), Vec::new());
    (outside.x, outside.y) = (third + last + BETWEEN, middle - outside.height / 2.0);
    let lines = joined(view, &groups, &uplinks, &outside);
    let width = outside.x + outside.width + MARGIN;
    let boxes: Vec<Placed> = groups
        .into_iter()
        .flat_map(|group| group.ports.into_iter().chain([group.bridge]))
        .chain(uplinks)
        .chain([outside])
        .collect();
    let height = boxes.iter().map(|it| it.y + it.height).fold(0.0, f64::max) + MARGIN;
    Layout { boxes, lines, width, height }
}

fn group(bridge: &super::GraphBridge) -> Group {
    let kind = if bridge.is_ours() { Kind::OwnBridge } else { Kind::OtherBridge };
    Group {
        ports: bridge.ports.iter().map(|port| Placed::new(Kind::Namespace, port.title(), port.lines())).collect(),
        bridge: Placed::new(kind, bridge.title(), bridge.lines()),
    }
}

/// Places a group from `top` on, and says where it ends.
fn place(group: &mut Group, top: f64, ports: f64, bridges: f64) -> f64 {
    let mut y = top;
    for port in &mut group.ports {
        (port.x, port.y, port.width) = (MARGIN, y, ports);
        y += port.height + GAP;
    }
    let end = if group.ports.is_empty() { top } else { y - GAP };
    (group.bridge.x, group.bridge.width) = (MARGIN + ports + BETWEEN, bridges);
    group.bridge.y = f64::midpoint(top, end.max(top + group.bridge.height)) - group.bridge.height / 2.0;
    end.max(group.bridge.y + group.bridge.height)
}

fn joined(view: &GraphView, groups: &[Group], uplinks: &[Placed], outside: &Placed) -> Vec<Joined> {
    let line = |from: &Placed, to: &Placed, own| Joined {
        from: (from.x + from.width, from.middle()),
        to: (to.x, to.middle()),
        own,
    };
    let mut lines = Vec::new();
    for (bridge, Group { ports, bridge: placed }) in view.bridges.iter().zip(groups) {
        lines.extend(ports.iter().map(|port| line(port, placed, bridge.is_ours())));
        let by = view.uplinks.iter().zip(uplinks).filter(|(it, _)| bridge.leaves_by.contains(&it.uplink));
        lines.extend(by.map(|(_, uplink)| line(placed, uplink, bridge.is_ours())));
    }
    lines.extend(view.uplinks.iter().zip(uplinks).map(|(it, uplink)| line(uplink, outside, it.guarded)));
    lines
}

#[cfg(test)]
mod tests {
    use super::layout;
    use crate::samples;

    #[test]
    fn no_two_boxes_overlap_and_all_are_inside() {
        for networks in 0..4 {
            for ports in 0..6 {
                let layout = layout(&samples::graph(networks, ports));
                for (index, one) in layout.boxes.iter().enumerate() {
                    assert!(one.x >= 0.0 && one.y >= 0.0, "{one:?}");
                    assert!(one.x + one.width <= layout.width && one.y + one.height <= layout.height, "{one:?}");
                    for other in &layout.boxes[index + 1..] {
                        let beside = one.x + one.width <= other.x || other.x + other.width <= one.x;
                        let below = one.y + one.height <= other.y || other.y + other.height <= one.y;
                        assert!(beside || below, "{one:?} {other:?}");
                    }
                }
            }
        }
    }
}
