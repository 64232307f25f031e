//! Namespaces, what is noted of them, and files for what runs inside.

use super::{Execute, Runner, not_opened};
use fwd_base::Result;
use fwd_kernel::netns::{Ahead, Name, Netns, resolv};
use fwd_plan::{
    Action, Object, Op, TargetRef, Undo,
    object::{NamedNetns, ResolvConf},
};

impl Execute for Undo {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        match self {
            Self::Netns { name, cookie: None } => runner.draft_namespace(name),
            entry => runner.log.put(entry),
        }
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        match self {
            Self::Netns { cookie: None, .. } => runner.discard_draft(),
            entry => runner.log.remove(entry),
        }
    }
}

impl Execute for NamedNetns {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.name_namespace(&self.name)
    }

    fn remove(&self, _: &mut Runner<'_>) -> Result<()> {
        Netns::delete_named(&self.name).map(drop)
    }
}

impl Execute for ResolvConf {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.write_resolver(&self.ns, &self.contents);
        Ok(())
    }

    fn remove(&self, _: &mut Runner<'_>) -> Result<()> {
        resolv::remove(&resolv::Roots::default(), &self.ns).map(drop)
    }
}

impl Runner<'_> {
    /// Makes a namespace without a name, and notes it in the undo log under the one that it will have. Its cookie is nobody else's for
    /// as long as the machine runs: what is noted tells it from whatever may stand under that name later.
    fn draft_namespace(&mut self, name: &Name) -> Result<()> {
        let ns = self.ahead.as_ref().map_or_else(Netns::nameless, Ahead::take)?;
        let entry = Undo::Netns { name: name.clone(), cookie: Some(ns.cookie()?) };
        self.log.put(&entry)?;
        self.draft = Some((ns, entry));
        Ok(())
    }

    /// Begins to make the namespaces of a plan, where there are several.
    pub(super) fn make_ahead(&mut self, ops: &[Op]) -> Result<()> {
        let is_one = |op: &&Op| matches!(&op.object, Object::Undo(Undo::Netns { cookie: None, .. }));
        let count = ops.iter().filter(|op| op.action == Action::Make).filter(is_one).count();
        self.ahead = if count > 1 { Some(Ahead::start(count)?) } else { None };
        Ok(())
    }

    /// Lets a namespace go that was noted and has no name.
    fn discard_draft(&mut self) -> Result<()> {
        self.draft.take().map_or(Ok(()), |(_, entry)| self.log.remove(&entry))
    }

    /// Gives the namespace that was noted its name.
    fn name_namespace(&mut self, name: &Name) -> Result<()> {
        let reference = TargetRef::Named(name.clone());
        let (ns, _) = self.draft.as_ref().ok_or_else(|| not_opened(&reference))?;
        ns.publish(name)?;
        self.namespaces.insert(reference, ns.try_clone()?);
        Ok(())
    }

    /// What cannot be written is no reason to leave the namespace unconnected: only names are not resolved inside.
    fn write_resolver(&mut self, ns: &Name, contents: &str) {
        if let Err(error) = resolv::write(&resolv::Roots::default(), ns, contents) {
            let servers =
                contents.lines().filter(|line| line.starts_with("nameserver ")).collect::<Vec<_>>().join(", ");
            self.warnings.push(format!(
                "{error}: the host's resolver cannot be reached from inside, and nothing tells programs there to ask another ({servers})"
            ));
        }
    }
}
