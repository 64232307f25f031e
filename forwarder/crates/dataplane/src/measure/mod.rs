//! What programs cost: for `fwd bench`, `fwd latency` and the programs that measure the project itself.

pub(crate) mod baseline;
pub(crate) mod latency;
pub(crate) mod microbench;
pub(crate) mod run_statistics;
pub(crate) mod stores;
pub(crate) mod testrun;
