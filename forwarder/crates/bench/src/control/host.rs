//! A sandboxed host, and the commands that are run on it.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use ipnet::Ipv4Net;
use nix::sys::resource::{UsageWho, getrusage};

use super::Options;
use fwd_base::{Context as _, Error, Kind, Result};
use fwd_dataplane::{Backend, Dataplane, RunDir};
use fwd_engine::execute::{self, HostContext, PoolRequest, Unobserved};
use fwd_kernel::netns::{Name, Netns};
use fwd_plan::{DownRequest, TableRequest, TargetRef, UpRequest};
use fwd_testbed::{Cleanup, Snapshot, Testbed, on_exit, unique_prefix};

/// A host.
pub(super) struct Host {
    // Before the testbed goes.
    _end: Cleanup,
    /// Held by the command that runs.
    turn: Arc<Mutex<()>>,
    testbed: Testbed,
    before: Snapshot,
    run_dir: PathBuf,
    program: Option<PathBuf>,
    networks: usize,
    attach: Option<Backend>,
    table: TableRequest,
    names: Vec<Name>,
}

impl Host {
    pub(super) fn new(options: &Options, namespaces: usize) -> Result<Self> {
        let testbed = Testbed::new(&unique_prefix())?;
        let turn = Arc::new(Mutex::new(()));
        // On a signal, too: the command that runs comes to its end, and none begins any more. It would make a namespace while those
        // that are there are taken away.
        let end = on_exit({
            let turn = Arc::clone(&turn);
            move || std::mem::forget(take(&turn))
        });
        let names = (0..namespaces).map(|number| Name::try_from(testbed.name(&format!("c{number}")).as_str()));
        Ok(Self {
            names: names.collect::<Result<_>>()?,
            before: testbed.snapshot()?,
            // Below the testbed's own directory, because the last command removes it.
            run_dir: testbed.run_dir().join("run"),
            program: options.program.clone(),
            networks: options.networks.max(1),
            attach: options.attach,
            _end: end,
            turn,
            table: TableRequest::default(),
            testbed,
        })
    }

    /// The same with room for so many flows.
    pub(super) fn with_flows(self, flows: u32) -> Self {
        Self { table: TableRequest { max_flows: Some(flows), ..self.table.clone() }, ..self }
    }

    /// The namespace of this number.
    pub(super) fn namespace(&self, number: usize) -> Result<Netns> {
        Netns::open_named(self.name(number)?)
    }

    /// `fwd up`: milliseconds.
    pub(super) fn up(&self, number: usize) -> Result<f64> {
        if self.program.is_none() {
            return self.up_library(number);
        }
        let request = self.request(number)?;
        let mut words = vec!["up".to_owned(), self.name(number)?.to_string()];
        let options = [
            ("--network", request.network.map(|network| network.to_string())),
            ("--subnet", request.options.subnet.map(|subnet| subnet.to_string())),
            ("--attach", request.endpoint.attach.map(|attach| attach.name().to_owned())),
            ("--max-flows", request.table.max_flows.map(|flows| flows.to_string())),
        ];
        for (option, value) in options {
            words.extend(value.into_iter().flat_map(|value| [option.to_owned(), value]));
        }
        self.run(&words).map(|(took, _)| took)
    }

    /// What the library takes for the same.
    pub(super) fn up_library(&self, number: usize) -> Result<f64> {
        let (context, request) = (self.context(), self.request(number)?);
        let _turn = take(&self.turn);
        self.testbed.host().run(|| timed(|| execute::up(&context, &request, &mut Unobserved).map(drop)))
    }

    /// Prepares what an `up` of this number can take.
    pub(super) fn prepare(&self, number: usize) -> Result<()> {
        // Namespaces of the pool are called after the host.
        let host = Some(self.testbed.host().name().to_string());
        let context = HostContext { host, ..self.context() };
        let request = PoolRequest { up: self.request(number)?, size: 1, refill: false };
        let _turn = take(&self.turn);
        self.testbed.host().run(|| execute::fill(&context, &request, &mut Unobserved).map(drop))
    }

    /// `fwd down` of one.
    pub(super) fn down(&self, number: usize) -> Result<f64> {
        let name = self.name(number)?;
        match self.program {
            Some(_) => self.run(&["down".into(), name.to_string()]).map(|(took, _)| took),
            None => self.down_library(Some(TargetRef::Named(name.clone()))),
        }
    }

    /// `fwd down --all`.
    pub(super) fn down_all(&self) -> Result<f64> {
        match self.program {
            Some(_) => self.run(&["down".into(), "--all".into()]).map(|(took, _)| took),
            None => self.down_library(None),
        }
    }

    fn down_library(&self, target: Option<TargetRef>) -> Result<f64> {
        let (context, request) = (self.context(), DownRequest { target, delete_ns: false, ..DownRequest::default() });
        let _turn = take(&self.turn);
        self.testbed.host().run(|| timed(|| execute::down(&context, &request, &mut Unobserved).map(drop)))
    }

    /// `fwd flows --json`: milliseconds, and bytes written. Without a program, nothing.
    pub(super) fn flows(&self) -> Result<Option<(f64, u64)>> {
        match self.program {
            Some(_) => self.run(&["flows".into(), "--json".into()]).map(Some),
            None => Ok(None),
        }
    }

    /// Flows in the table.
    pub(super) fn count_flows(&self) -> Result<usize> {
        Ok(self.plane(Dataplane::occupancy)?.map_or(0, |occupancy| {
            let usage = occupancy.total;
            usage.half_open as usize + usage.established as usize + usage.closing as usize
        }))
    }

    /// Kernel memory of all maps.
    pub(super) fn table_bytes(&self) -> Result<u64> {
        Ok(self.plane(Dataplane::memory)?.unwrap_or(0))
    }

    fn plane<T: Send>(&self, read: impl FnOnce(&Dataplane) -> Result<T> + Send) -> Result<Option<T>> {
        let (run_dir, cookie) = (RunDir::new(self.run_dir.clone()), self.testbed.host().cookie()?);
        self.testbed.host().run(|| Dataplane::open(&run_dir, cookie)?.as_ref().map(read).transpose())
    }

    /// Checks that nothing is left.
    pub(super) fn check_clean(&self) -> Result<()> {
        let left = self.before.diff(&self.testbed.snapshot()?);
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::Failed, "clean up", "the sandboxed host", format!("this is left: {}", left.join("; "))))
    }

    fn context(&self) -> HostContext {
        HostContext::new(RunDir::new(self.run_dir.clone()))
    }

    fn name(&self, number: usize) -> Result<&Name> {
        let missing = || Error::new(Kind::Failed, "find", format!("namespace {number}"), "there is none");
        self.names.get(number).ok_or_else(missing)
    }

    /// In turn into each network; a /22 has room for 1,021.
    fn request(&self, number: usize) -> Result<UpRequest> {
        let network = u8::try_from(number % self.networks).unwrap_or(u8::MAX);
        let many = self.networks > 1;
        Ok(UpRequest {
            network: many.then(|| Name::try_from(format!("net{network}").as_str())).transpose()?,
            table: self.table.clone(),
            ..UpRequest::new(TargetRef::Named(self.name(number)?.clone()))
        }
        .with_endpoint(|it| it.attach = self.attach)
        .with_options(|it| it.subnet = Some(Ipv4Net::new_assert([10, 80, network * 4, 0].into(), 22))))
    }

    /// Runs the program to its end: milliseconds, and bytes that it wrote.
    fn run(&self, words: &[String]) -> Result<(f64, u64)> {
        let line = || format!("fwd {}", words.join(" "));
        let Some(program) = &self.program else {
            return Err(Error::new(Kind::Failed, "run", line(), "no program is to be measured"));
        };
        let mut command = Command::new(program);
        command.arg("--host-netns").arg(self.testbed.host().name().as_str()).arg("--run-dir").arg(&self.run_dir);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_remove("FWD_LOG").env_remove("RUST_LOG");
        let _turn = take(&self.turn);
        let began = Instant::now();
        let mut child = command.spawn().doing("run", line())?;
        let written = child.stdout.take().map(|mut out| std::io::copy(&mut out, &mut std::io::sink()));
        let output = child.wait_with_output().doing("run", line())?;
        let took = milliseconds(began);
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Error::new(Kind::Failed, "run", line(), said.trim().trim_start_matches("error: ")));
        }
        Ok((took, written.transpose().doing("read", line())?.unwrap_or(0)))
    }
}

/// A command that fails leaves nothing half-done that another one would have to know of.
fn take(turn: &Mutex<()>) -> MutexGuard<'_, ()> {
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory of the largest process that was run, bytes.
pub(super) fn largest_process() -> u64 {
    let kilobytes = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss());
    u64::try_from(kilobytes).unwrap_or(0) * 1024
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(milliseconds(began))
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
