//! How long ADD and DEL take, beside `bridge` with `host-local`, and `portmap` behind it.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use forwarder::{
    Error, Kind, Result,
    testbed::{Testbed, unique_prefix},
};
use serde_json::{Value, json};

use crate::plugin::{Container, OTHERS, Plugin, fwd};

/// Containers that are up meanwhile.
const UP: usize = 10;
/// Containers that are attached at once.
const AT_ONCE: usize = 100;
/// Containers that are up, where many are.
const MANY: usize = 1000;

/// Who attaches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Fwd,
    Others,
}

/// How large a figure may be.
#[derive(Clone, Copy)]
enum Target {
    /// This part of the others'.
    OfOthers(f64),
    /// Milliseconds.
    Millis(f64),
}

/// A figure, and how large it may be.
struct Row {
    what: &'static str,
    ours: Vec<Duration>,
    theirs: Vec<Duration>,
    target: Target,
}

impl Row {
    fn new(what: &'static str, target: Target) -> Self {
        Self { what, ours: Vec::new(), theirs: Vec::new(), target }
    }

    fn add(&mut self, who: Who, took: Duration) {
        if who == Who::Fwd { &mut self.ours } else { &mut self.theirs }.push(took);
    }

    /// Prints it; whether it is as small as it should be.
    fn show(mut self) -> bool {
        let [ours, theirs] = [&mut self.ours, &mut self.theirs].map(|all| {
            all.sort_unstable();
            all.get(all.len() / 2).map_or(f64::NAN, |it| it.as_secs_f64() * 1e3)
        });
        let Self { what, target, .. } = self;
        let (met, beside) = match target {
            Target::OfOthers(part) => {
                let ratio = ours / theirs;
                (ratio <= part, format!("others {theirs:7.1}   {ratio:.2} (at most {part})"))
            }
            Target::Millis(most) => (ours <= most, format!("(at most {most})")),
        };
        println!("  {what:<18} fwd {ours:7.1}   {beside}{}", if met { "" } else { "  MISSED" });
        met
    }
}

/// The plugins of one list.
fn plugins(who: Who, port: Option<u16>) -> Result<Vec<Plugin>> {
    let ports = json!({ "portMappings": port.map(|port| json!({ "hostPort": port, "containerPort": 80, "protocol": "tcp" })).into_iter().collect::<Vec<_>>() });
    let others = |name: &str| Path::new(OTHERS).join(name);
    let plugin = |program, config: Value| Plugin { program, config };
    Ok(match who {
        Who::Fwd => {
            let config = json!({ "cniVersion": "1.0.0", "name": "ours", "type": "fwd", "subnet": "10.66.0.0/16", "runtimeConfig": ports });
            vec![plugin(fwd()?, config)]
        }
        Who::Others => {
            let ipam = json!({ "type": "host-local", "subnet": "10.67.0.0/16", "routes": [{ "dst": "0.0.0.0/0" }] });
            let bridge = json!({ "cniVersion": "1.0.0", "name": "theirs", "type": "bridge", "bridge": "theirs0", "isGateway": true,
                "ipMasq": true, "ipam": ipam });
            let portmap = json!({ "cniVersion": "1.0.0", "name": "theirs", "type": "portmap", "runtimeConfig": ports });
            let bridge = plugin(others("bridge"), bridge);
            if port.is_some() { vec![bridge, plugin(others("portmap"), portmap)] } else { vec![bridge] }
        }
    })
}

/// ADD of all plugins, each with the result of the one before; how long they took.
fn add(testbed: &Testbed, plugins: &[Plugin], container: &Container) -> Result<Duration> {
    let mut took = Duration::ZERO;
    let mut previous = Value::Null;
    for plugin in plugins {
        let mut plugin = plugin.clone();
        if !previous.is_null() {
            plugin.config["prevResult"] = previous;
        }
        let (time, result) = plugin.call(testbed, "ADD", container)?;
        took += time;
        previous = result;
    }
    Ok(took)
}

/// DEL of all plugins, the last first.
fn del(testbed: &Testbed, plugins: &[Plugin], container: &Container) -> Result<Duration> {
    let times = plugins.iter().rev().map(|plugin| plugin.call(testbed, "DEL", container).map(|(time, _)| time));
    times.sum()
}

/// Measures everything; whether each is as small as it should be.
pub(crate) fn run(rounds: usize) -> Result<bool> {
    let testbed = Testbed::new(&unique_prefix())?;
    let both = [Who::Fwd, Who::Others];
    let mut up = Vec::new();
    for (who, role) in [(Who::Fwd, "ours"), (Who::Others, "theirs")] {
        for number in 0..UP {
            let container = Container::new(&testbed, &format!("{role}{number}"))?;
            add(&testbed, &plugins(who, None)?, &container)?;
            up.push(container);
        }
    }
    let mut rows = [
        Row::new("ADD", Target::OfOthers(0.5)),
        Row::new("DEL", Target::OfOthers(1.0)),
        Row::new("ADD with a port", Target::OfOthers(0.3)),
        Row::new("DEL with a port", Target::OfOthers(1.0)),
    ];
    for _ in 0..rounds {
        for (first, port) in [(0, None), (2, Some(8080))] {
            for who in both {
                let container = Container::new(&testbed, "c")?;
                let plugins = plugins(who, port)?;
                rows[first].add(who, add(&testbed, &plugins, &container)?);
                rows[first + 1].add(who, del(&testbed, &plugins, &container)?);
            }
        }
    }
    let mut at_once = Row::new("100 ADD at once", Target::OfOthers(0.4));
    for who in both {
        at_once.add(who, all_at_once(&testbed, who)?);
    }
    drop(up);
    let many = with_many(rounds)?;
    let shown: Vec<bool> = rows.into_iter().chain([at_once, many]).map(Row::show).collect();
    Ok(!shown.contains(&false))
}

/// A hundred ADD at once, of which none may fail.
fn all_at_once(testbed: &Testbed, who: Who) -> Result<Duration> {
    let plugins = plugins(who, None)?;
    let containers: Vec<Container> =
        (0..AT_ONCE).map(|number| Container::new(testbed, &format!("m{number}"))).collect::<Result<_>>()?;
    let start = Instant::now();
    let results: Vec<Result<Duration>> = thread::scope(|scope| {
        let calls: Vec<_> =
            containers.iter().map(|container| scope.spawn(|| add(testbed, &plugins, container))).collect();
        let panicked = || Err(Error::new(Kind::Failed, "call", "a plugin", "the thread panicked"));
        calls.into_iter().map(|call| call.join().unwrap_or_else(|_| panicked())).collect()
    });
    let took = start.elapsed();
    results.into_iter().collect::<Result<Vec<_>>>()?;
    containers.iter().try_for_each(|container| del(testbed, &plugins, container).map(drop))?;
    Ok(took)
}

/// An ADD on a host where many are up.
fn with_many(rounds: usize) -> Result<Row> {
    let testbed = Testbed::new(&unique_prefix())?;
    let plugins = plugins(Who::Fwd, None)?;
    let mut up = Vec::new();
    for number in 0..MANY {
        let container = Container::new(&testbed, &format!("m{number}"))?;
        add(&testbed, &plugins, &container)?;
        up.push(container);
    }
    let mut row = Row::new("ADD, 1000 up", Target::Millis(25.0));
    for _ in 0..rounds {
        let container = Container::new(&testbed, "c")?;
        row.add(Who::Fwd, add(&testbed, &plugins, &container)?);
        del(&testbed, &plugins, &container)?;
    }
    Ok(row)
}
