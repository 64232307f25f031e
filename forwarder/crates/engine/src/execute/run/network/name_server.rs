//! The name server.

use super::super::{super::names, Execute, Runner};
use fwd_base::Result;
use fwd_plan::object::NameServer;

impl Execute for NameServer {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        names::listen(runner.context, runner.cookie, &self.network, &self.addresses)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        names::leave(runner.context, runner.cookie, &self.network)
    }
}
