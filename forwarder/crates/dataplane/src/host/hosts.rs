//! The hosts of a run directory, those among them whose namespace is gone.

use std::{fs, io};

use aya::maps::{Map, MapData, xdp::DevMapHash};

use crate::{
    Dataplane, RunDir,
    host::devices::{LOOPBACK, is_there},
    load::MAPS,
    object::maps::DEVICES,
};
use fwd_base::{Context as _, Result};

/// A host that has something pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPins {
    /// Cookie of its namespace.
    pub cookie: u64,
    /// The versions of `fwd` that have pinned something, by the names of their directories.
    pub versions: Vec<String>,
    /// Whether its namespace exists; none where the pins do not tell, because a command was interrupted very early.
    pub exists: Option<bool>,
}

impl HostPins {
    /// All hosts, by cookie.
    ///
    /// # Errors
    /// The pins cannot be read.
    pub fn all(run_dir: &RunDir) -> Result<Vec<Self>> {
        let dir = run_dir.bpffs();
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.doing("list", dir.display().to_string())?,
        };
        let cookies = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut hosts = cookies.map(|cookie| Self::of(run_dir, cookie)).collect::<Result<Vec<_>>>()?;
        hosts.sort_by_key(|host| host.cookie);
        Ok(hosts)
    }

    /// The host with this cookie.
    ///
    /// # Errors
    /// The pins cannot be read.
    pub fn of(run_dir: &RunDir, cookie: u64) -> Result<Self> {
        let versions = Dataplane::versions(run_dir, cookie)?;
        let told: Vec<bool> = versions
            .iter()
            .filter_map(|version| exists(run_dir, cookie, version).transpose())
            .collect::<Result<_>>()?;
        let exists = if told.is_empty() { None } else { Some(told.contains(&true)) };
        Ok(Self { cookie, versions, exists })
    }
}

/// Whether `lo` of the host is there, by the pins of one version.
fn exists(run_dir: &RunDir, cookie: u64, version: &str) -> Result<Option<bool>> {
    let pin = run_dir.host(cookie).join(version).join(MAPS).join(DEVICES.as_str());
    // Not there yet, gone meanwhile, or of a version that had none.
    let Ok(data) = MapData::from_pin(&pin) else { return Ok(None) };
    let object = || format!("map {}", pin.display());
    let map = DevMapHash::try_from(Map::from_map_data(data).doing("open", object())?).doing("open", object())?;
    is_there(&map, LOOPBACK).map(Some)
}
