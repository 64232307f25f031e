//! Networks.

use serde_json::{Value, json};

use crate::{
    api::{CreateNetwork, OfNetwork},
    driver::Driver,
    options,
    store::NotedNetwork,
};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::name_of;
use fwd_engine::execute::{Unobserved, add_network, down};
use fwd_plan::{NetworkRequest, NetworkScope, Scope};

/// Makes a network, which stays until docker removes it.
///
/// # Errors
/// It asks for what cannot be, or another network has its name here, docker's or not.
pub(super) fn create(driver: &Driver, asked: CreateNetwork) -> Result<Value> {
    let request = options::network(&asked)?;
    let name = request.name.to_string();
    let refuse = |why: String, remedy: String| {
        Err(Error::new(Kind::Conflict, "make", format!("network {name}"), why).remedy(remedy))
    };
    let _choosing = driver.choosing();
    let noted = driver.store.all()?;
    if let Some(other) = noted.iter().find(|it| it.name == name && it.network.network != asked.network) {
        let why = format!("docker's network {} has that name", other.network.network.short(12));
        return refuse(why, "give it another: -o fwd.network=NAME".into());
    }
    // One that docker has asked for before, and not been answered about, is noted, with its endpoints.
    let is_noted = noted.iter().any(|it| it.network.network == asked.network);
    if !is_noted && is_up(driver, &name)? {
        let remedy = format!("give it another: -o fwd.network=NAME; or remove that one: `fwd network rm {name}`");
        return refuse("there is one of that name already, which docker has not made".into(), remedy);
    }
    add(driver, &request)?;
    if is_noted {
        return Ok(json!({}));
    }
    // Not noted, it would be nobody's.
    driver.store.put(&NotedNetwork::new(asked, name.clone())).inspect_err(|_| {
        remove(driver, name).unwrap_or_else(|error| tracing::warn!("{error}"));
    })?;
    Ok(json!({}))
}

/// Makes a network that docker has made before, where the machine has been started since.
///
/// # Errors
/// The kernel refuses, or something else of the host has what it needs by now.
pub(super) fn ensure(driver: &Driver, noted: &NotedNetwork) -> Result<()> {
    if is_up(driver, &noted.name)? { Ok(()) } else { add(driver, &options::network(&noted.network)?) }
}

/// Removes a network. One that is not there is no error.
///
/// # Errors
/// Endpoints are in it.
pub(super) fn delete(driver: &Driver, asked: &OfNetwork) -> Result<Value> {
    let Some(noted) = driver.store.find(&asked.network)? else { return Ok(json!({})) };
    let name = noted.name;
    // Those alone that are up: of others docker has not always told that they are gone (a forced removal asks no driver that it has not
    // loaded yet).
    for endpoint in noted.endpoints.keys() {
        if driver.find(endpoint)?.is_some() {
            let why = format!("docker's endpoint {} is in it", endpoint.short(12));
            return Err(Error::new(Kind::Conflict, "remove", format!("network {name}"), why)
                .remedy("remove its containers first, or disconnect them"));
        }
    }
    remove(driver, name)?;
    driver.store.forget(&asked.network)?;
    Ok(json!({}))
}

/// Whether a network of that name is up, whoever has made it.
fn is_up(driver: &Driver, name: &str) -> Result<bool> {
    let networks = driver.plane()?.map(|plane| plane.networks()).transpose()?.unwrap_or_default();
    Ok(networks.iter().any(|(_, network)| name_of(&network.name) == name))
}

fn add(driver: &Driver, request: &NetworkRequest) -> Result<()> {
    let made = add_network(&driver.context, request, &mut Unobserved)?;
    made.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(())
}

fn remove(driver: &Driver, name: String) -> Result<()> {
    let scope = Scope { network: Some(NetworkScope { name, force: false }), ..Scope::default() };
    match down(&driver.context, &scope, &mut Unobserved) {
        Ok(gone) => gone.warnings.iter().for_each(|warning| tracing::warn!("{warning}")),
        Err(error) if error.kind == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
