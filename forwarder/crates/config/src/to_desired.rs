//! What files say as what is desired.

mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use toml::Spanned;

use crate::{
    file::{Endpoint, File},
    source::Source,
};
use fwd_base::{Error, Result};
use fwd_dataplane::PublishedPorts;
use fwd_kernel::netns::{DIRECTORY, Name, nearest};
use fwd_plan::{self as plan, Desired, TargetRef};

/// Where names of namespaces are: /var/run is /run.
const DIRECTORIES: [&str; 2] = [DIRECTORY, "/var/run/netns"];

/// Where something was said: which file, and which bytes of it.
#[derive(Clone, Debug)]
struct Origin<'a> {
    source: &'a Source,
    span: Range<usize>,
}

impl<'a> Origin<'a> {
    fn of<T>(source: &'a Source, what: &Spanned<T>) -> Self {
        Self { source, span: what.span() }
    }

    /// `network.toml:3:5`.
    fn told(&self) -> String {
        self.source.at(&self.span)
    }

    fn refuse(&self, why: impl Into<String>) -> Error {
        self.source.refuse(&self.span, why)
    }

    /// It was said before, elsewhere.
    fn again(&self, what: &str, first: &Self) -> Error {
        let why = format!("{what} is said twice, first at {}", first.told());
        self.refuse(why).remedy("say it once; the files are one whole")
    }
}

/// What all files together say. They are one whole: what is said twice is refused.
///
/// # Errors
/// [`Kind::Usage`](fwd_base::Kind::Usage) with file, line and column of the first thing that is wrong.
pub fn desired(sources: &[Source]) -> Result<Desired> {
    let mut merged = Merged::default();
    for source in sources {
        let File { table, networks, endpoints } = source.parse()?;
        if let Some(table) = &table {
            merged.table(source, table)?;
        }
        for (name, network) in &networks {
            merged.network(source, name, network)?;
        }
        for endpoint in &endpoints {
            merged.endpoint(source, endpoint)?;
        }
    }
    merged.check()?;
    Ok(merged.desired)
}

/// What was said so far, and where.
#[derive(Default)]
struct Merged<'a> {
    desired: Desired,
    table: Option<Origin<'a>>,
    networks: BTreeMap<String, Origin<'a>>,
    endpoints: BTreeMap<(TargetRef, String), Origin<'a>>,
    published: Vec<(PublishedPorts, Origin<'a>)>,
    addresses: BTreeMap<(String, IpAddr), Origin<'a>>,
    /// Networks that something is to be in, or that are to be allowed something.
    mentioned: Vec<(String, Origin<'a>)>,
}

impl<'a> Merged<'a> {
    fn table(&mut self, source: &'a Source, table: &Spanned<crate::file::Table>) -> Result<()> {
        let place = Origin::of(source, table);
        if let Some(first) = &self.table {
            return Err(place.again("the flow table", first));
        }
        self.desired.table = table::asked(source, table.get_ref())?;
        self.table = Some(place);
        Ok(())
    }

    fn network(&mut self, source: &'a Source, name: &Spanned<String>, network: &crate::file::Network) -> Result<()> {
        let place = Origin::of(source, name);
        let name = Name::of("a network", name.get_ref()).map_err(|error| {
            let refused = place.refuse(format!("a network is not called so: {}", error.why));
            refused.remedy(error.remedy.unwrap_or_default())
        });
        let name = name?.to_string();
        if let Some(first) = self.networks.get(&name) {
            return Err(place.again(&format!("network {name}"), first));
        }
        self.desired.networks.insert(name.clone(), network.desired(|span, why| source.refuse(&span, why))?);
        let allowed = network.allow_networks.iter();
        self.mentioned.extend(allowed.map(|other| (other.get_ref().clone(), Origin::of(source, other))));
        self.networks.insert(name, place);
        Ok(())
    }

    fn endpoint(&mut self, source: &'a Source, endpoint: &Spanned<Endpoint>) -> Result<()> {
        let place = Origin::of(source, endpoint);
        let asked = Endpoint::desired(endpoint, |span, why| source.refuse(&span, why))?;
        let target = asked.netns.clone().unwrap_or(TargetRef::Pid(0));
        let who = (by_name(&target), asked.id.ifname.clone());
        if let Some(first) = self.endpoints.get(&who) {
            return Err(place.again(&format!("interface {} of {}", who.1, who.0), first));
        }
        self.desired.places.note(target, who.1.clone(), place.told());
        self.claims(&asked, &place)?;
        let mentioned = endpoint.get_ref().network.as_ref().map(|network| Origin::of(source, network));
        self.mentioned.push((asked.network.clone(), mentioned.unwrap_or_else(|| place.clone())));
        self.endpoints.insert(who, place);
        self.desired.endpoints.push(asked);
        Ok(())
    }

    /// Ports of the host, and addresses of a network, are one endpoint's.
    fn claims(&mut self, asked: &plan::Endpoint, place: &Origin<'a>) -> Result<()> {
        for ports in &asked.options.publish {
            if let Some((other, first)) = self.published.iter().find(|(other, _)| other.overlap(ports)) {
                return Err(place.again(&format!("port {other}"), first));
            }
        }
        for address in asked.options.addresses() {
            let claim = (asked.network.clone(), address);
            if let Some(first) = self.addresses.insert(claim, place.clone()) {
                return Err(place.again(&format!("address {address} of network {}", asked.network), &first));
            }
        }
        self.published.extend(asked.options.publish.iter().map(|ports| (*ports, place.clone())));
        Ok(())
    }

    /// Every network that is mentioned is said: what is not is left alone, and nothing can be known of it.
    fn check(&self) -> Result<()> {
        for (name, place) in &self.mentioned {
            if self.networks.contains_key(name) {
                continue;
            }
            let known: Vec<&String> = self.networks.keys().collect();
            let remedy = match nearest(name, &known) {
                Some(nearest) => format!("did you mean {nearest}?"),
                None => format!("say what it is to be: [networks.{name}]"),
            };
            return Err(place.refuse(format!("no file says network {name}")).remedy(remedy));
        }
        Ok(())
    }
}

/// The same namespace by its name, where a path says no more than that.
fn by_name(target: &TargetRef) -> TargetRef {
    let name = match target {
        TargetRef::Path(path) => DIRECTORIES.iter().find_map(|directory| path.strip_prefix(directory).ok()?.to_str()),
        TargetRef::Named(_) | TargetRef::Pid(_) | TargetRef::Container(_) | TargetRef::Awaited(_) => None,
    };
    name.and_then(|name| Name::try_from(name).ok()).map_or_else(|| target.clone(), TargetRef::Named)
}
