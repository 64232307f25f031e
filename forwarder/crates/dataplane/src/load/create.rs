//! Makes the pinned maps in two steps: records, which every data path needs, and on top of them programs and flow table.
//!
//! Records need nothing of the kernel but maps, so that `--datapath kernel` works where the programs do not load.

use std::{fs, io, path::Path};

use aya::maps::MapData;
use forwarder_common::abi::{ABI_VERSION, Config, TIMEOUTS};

use crate::{
    Dataplane, RunDir, Sizes,
    host::{bpffs, devices::LOOPBACK},
    load::{LINKS, MAPS, NEW_PROGRAMS, PROGRAMS, missing, refused},
    object::{
        OBJECT,
        maps::{self, MapName},
    },
    read::view::Held,
};
use fwd_base::{Context as _, Result};

/// Made last of the records: its presence says that they are there.
pub(crate) const READY: &str = "ready";
/// Made last of the programs and the flow table.
pub(crate) const LOADED: &str = "loaded";

impl Dataplane {
    /// The data path of the host namespace with `cookie`, if its records were created (in full). For who holds the lock; others
    /// [`view`](Self::view) it.
    ///
    /// # Errors
    /// The pins cannot be read.
    pub fn open(run_dir: &RunDir, cookie: u64) -> Result<Option<Self>> {
        let dataplane = Self { dir: run_dir.of(cookie), held: None };
        Ok(dataplane.is_ready().then_some(dataplane))
    }

    /// Creates and pins the records; does nothing if they are there. What an interrupted run left is replaced.
    ///
    /// # Errors
    /// No bpffs can be mounted for good ([`fwd_base::Kind::Unsupported`]), or the kernel refuses a map.
    pub fn create_records(run_dir: &RunDir, cookie: u64) -> Result<Self> {
        if let Some(dataplane) = Self::open(run_dir, cookie)? {
            return Ok(dataplane);
        }
        bpffs::ensure(run_dir, cookie)?;
        let dataplane = Self { dir: run_dir.of(cookie), held: None };
        unpin(&dataplane.dir)?;
        for dir in [MAPS, PROGRAMS, LINKS] {
            let dir = dataplane.dir.join(dir);
            fs::create_dir_all(&dir).doing("create", dir.display().to_string())?;
        }
        for declared in maps::records() {
            let name = declared.name;
            dataplane.create_map(name, &maps::record(declared))?;
            if name == maps::DEVICES.name() {
                // First of all: from here on everybody can tell when the host is gone.
                dataplane.note_device(LOOPBACK)?;
            }
        }
        dataplane.set_config(&nothing(cookie))?;
        dataplane.note_schema()?;
        // The marker is a directory: a bpffs holds only pins and directories.
        fs::create_dir(dataplane.dir.join(READY)).doing("finish", dataplane.object())?;
        Ok(dataplane)
    }

    /// Creates a map by its numbers alone: without a description of its types (BTF), which old kernels do not take.
    pub(crate) fn create_map(&self, name: MapName, map: &aya_obj::Map) -> Result<()> {
        let (kind, key, value) = (map.map_type(), map.key_size(), map.value_size());
        let plain = aya_obj::Map::new_from_params(kind, key, value, map.max_entries(), map.map_flags());
        let data = MapData::create(plain, name.as_str(), None).map_err(|error| refused(&error, name.into()))?;
        data.pin(self.map_pin(name)).doing("pin", name)
    }

    /// Creates the maps that only the programs of IPv6 have, an element for each slot; does nothing with those that are there.
    pub(crate) fn create_ipv6_maps(&self) -> Result<()> {
        let mut object = aya_obj::Object::parse(OBJECT).doing("read", "the object that was built into fwd")?;
        for name in maps::of_ipv6().filter(|name| !self.map_pin(*name).exists()) {
            let mut map = object.maps.remove(name.as_str()).ok_or_else(|| missing(name.as_str()))?;
            map.set_max_entries(self.max_entries(maps::FLOW_SLOTS)?);
            self.create_map(name, &map)?;
        }
        Ok(())
    }

    /// Loads and pins the programs and the flow table beside the records; does nothing if they are there.
    ///
    /// # Errors
    /// The kernel refuses a map or a program.
    pub fn load(&self, sizes: &Sizes) -> Result<()> {
        if self.is_loaded() {
            return Ok(());
        }
        // What an interrupted run left.
        self.unload()?;
        self.load_programs(sizes)?;
        fs::create_dir(self.dir.join(LOADED)).doing("finish", self.object())
    }

    /// Creates everything; does nothing if it is there.
    ///
    /// # Errors
    /// As [`create_records`](Self::create_records) and [`load`](Self::load).
    pub fn create(run_dir: &RunDir, cookie: u64, sizes: &Sizes) -> Result<Self> {
        let dataplane = Self::create_records(run_dir, cookie)?;
        dataplane.load(sizes)?;
        Ok(dataplane)
    }

    /// Whether the records are there.
    pub(crate) fn is_ready(&self) -> bool {
        self.dir.join(READY).exists()
    }

    /// Whether programs and flow table are there.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.held.as_ref().map_or_else(|| self.dir.join(LOADED).exists(), Held::is_loaded)
    }

    /// Whether any of the programs or of the flow table is there.
    #[must_use]
    pub fn is_partly_loaded(&self) -> bool {
        self.is_loaded() || maps::of_programs().any(|name| self.map_pin(name).exists())
    }

    /// Detaches and unpins the programs and the flow table; the records stay.
    ///
    /// # Errors
    /// A pin cannot be removed.
    pub fn unload(&self) -> Result<()> {
        remove_dir(&self.dir.join(LOADED))?;
        remove_dir(&self.dir.join(NEW_PROGRAMS))?;
        self.forget_former()?;
        self.forget_tracer()?;
        for dir in [LINKS, PROGRAMS] {
            let dir = self.dir.join(dir);
            remove_dir(&dir)?;
            fs::create_dir(&dir).doing("create", dir.display().to_string())?;
        }
        for name in maps::of_programs() {
            let pin = self.map_pin(name);
            match fs::remove_file(&pin) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result.doing("remove", pin.display().to_string())?,
            }
        }
        Ok(())
    }

    pub(crate) fn object(&self) -> String {
        format!("data path in {}", self.dir.display())
    }
}

/// The settings while there is neither a program nor a network.
const fn nothing(host_cookie: u64) -> Config {
    Config {
        abi_version: ABI_VERSION.raw(),
        nat_port_min: 0,
        nat_port_max: 0,
        subnets_min: u32::MAX,
        subnets_max: 0,
        prefixes6_min: u64::MAX,
        prefixes6_max: 0,
        max_flows: 0,
        max_flows_per_endpoint: 0,
        features: 0,
        own_addresses: [0; _],
        slots: 0,
        seed: 0,
        hz: 0,
        timeouts: [0; TIMEOUTS],
        secret: [0; _],
        host_cookie,
        object: 0,
    }
}

/// Removes every pin below `dir`, the links first, so that programs are detached before their maps go.
pub(crate) fn unpin(dir: &Path) -> Result<()> {
    for part in [READY, LOADED, LINKS, NEW_PROGRAMS, PROGRAMS, MAPS] {
        remove_dir(&dir.join(part))?;
    }
    remove_dir(dir)
}

pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.doing("remove", dir.display().to_string()),
    }
}
