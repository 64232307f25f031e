//! Runs the loaded programs over packets of our own (`BPF_PROG_TEST_RUN`): for tests and measurements.

use std::time::Duration;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};

use crate::{Dataplane, Hook, XdpHook, object::programs};
use fwd_base::{Context as _, Result};

/// Size of the part of `struct __sk_buff` that is passed, bytes (`include/uapi/linux/bpf.h`).
const CONTEXT: usize = 192;
/// Offset of `ingress_ifindex` in it.
const INGRESS_IFINDEX: usize = 36;
/// Offset of `ifindex` in it.
const IFINDEX: usize = 40;

/// What a run gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// What the program returned: -1 next, 2 drop, 7 redirect.
    pub verdict: i32,
    /// The packet afterwards.
    pub packet: Vec<u8>,
    /// Mean time of a run.
    pub duration: Duration,
}

/// A program that is run again and again.
pub struct Runner {
    program: SchedClassifier,
    name: &'static str,
}

impl Runner {
    /// Runs the program `repeat` times over `packet`, as if it came by `ifindex`. A repeated run sees the packet as the run
    /// before left it.
    ///
    /// # Errors
    /// The kernel refuses: `ifindex` must be an interface of the calling thread's namespace.
    pub fn run(&self, ifindex: u32, ingress: u32, packet: &[u8], repeat: u32) -> Result<TestRun> {
        let mut context = [0; CONTEXT];
        context[INGRESS_IFINDEX..INGRESS_IFINDEX + 4].copy_from_slice(&ingress.to_ne_bytes());
        context[IFINDEX..IFINDEX + 4].copy_from_slice(&ifindex.to_ne_bytes());
        let mut out = vec![0; packet.len() + 64];
        let options = TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::default()
        };
        let result = self.program.test_run(options).doing("run", format!("program {}", self.name))?;
        out.truncate(result.data_size_out as usize);
        Ok(TestRun { verdict: result.return_value as i32, packet: out, duration: result.duration })
    }
}

impl Dataplane {
    /// Runs the XDP program of `hook` once over `frame`, as if it came by `ifindex`, whose driver must be ready for XDP. The
    /// verdict is 2 for pass, 4 for redirect.
    ///
    /// # Errors
    /// The kernel refuses: `ifindex` must be an interface of the calling thread's namespace.
    pub fn test_run_xdp(&self, hook: XdpHook, ifindex: u32, frame: &[u8]) -> Result<TestRun> {
        /// `struct xdp_md` (include/uapi/linux/bpf.h) in words: data, data_end, data_meta, ingress_ifindex, rx_queue_index,
        /// egress_ifindex.
        const WORDS: usize = 6;
        let program = self.xdp_program(hook.program())?;
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let context: [u32; WORDS] = [0, length, 0, ifindex, 0, 0];
        let context: Vec<u8> = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut out = vec![0; frame.len() + 64];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        let result = program.test_run(options).doing("run", format!("program {}", hook.program()))?;
        out.truncate(result.data_size_out as usize);
        Ok(TestRun { verdict: result.return_value as i32, packet: out, duration: result.duration })
    }

    /// The program of `hook`, to be run over packets.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn runner(&self, hook: Hook) -> Result<Runner> {
        Ok(Runner { program: self.program(hook.program())?, name: hook.program() })
    }

    /// The program of the slow path of `hook`, to be run over packets that the fast path would take; the program itself where there is but one.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn slow_runner(&self, hook: Hook) -> Result<Runner> {
        let name = match hook {
            Hook::FromNs => programs::FROM_NS_SLOW,
            Hook::FromUplink => programs::FROM_UPLINK_SLOW,
            Hook::ToUplink => programs::TO_UPLINK_SLOW,
            Hook::FromUplinkL3 | Hook::ToUplinkL3 | Hook::ToNetwork => return self.runner(hook),
        };
        Ok(Runner { program: self.program(name)?, name })
    }

    /// As [`Runner::run`], once.
    ///
    /// # Errors
    /// The same, and the program cannot be opened.
    pub fn test_run(&self, hook: Hook, ifindex: u32, ingress: u32, packet: &[u8], repeat: u32) -> Result<TestRun> {
        self.runner(hook)?.run(ifindex, ingress, packet, repeat)
    }
}
