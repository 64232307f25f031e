//! `fwd ns`.

use crate::{
    Result,
    cli::{
        args::{NsArgs, NsCommand},
        session::Session,
    },
    execute,
    netns::{self, Listed, Membership, Name, Netns, Process},
    render::{NamespaceChange, NamespaceView, ProcessView, WhereView},
};

/// Makes, deletes, lists and finds namespaces.
pub(in crate::cli) fn run(session: &mut Session<'_, '_>, args: &NsArgs) -> Result<()> {
    match &args.command {
        NsCommand::Add { name } => add(session, name),
        NsCommand::Rm { name } => rm(session, name),
        NsCommand::Ls { all } => ls(session, *all),
        NsCommand::Of { pids } => of(session, pids),
    }
}

fn add(session: &mut Session<'_, '_>, name: &str) -> Result<()> {
    let name = Name::try_from(name)?;
    let made = Netns::create_named(&name, |_| Ok(()))?;
    let netns_inode = Some(made.inode()?);
    session.emit(&NamespaceChange { ns: name.as_str().into(), netns_inode, changed: true })
}

fn rm(session: &mut Session<'_, '_>, name: &str) -> Result<()> {
    let name = Name::try_from(name)?;
    let changed = execute::remove_namespace(&session.context(), &name)?;
    session.emit(&NamespaceChange { ns: name.as_str().into(), netns_inode: None, changed })
}

fn ls(session: &mut Session<'_, '_>, all: bool) -> Result<()> {
    let (host, caller) = (&session.at.host, &session.at.caller);
    let listed = if all { netns::list_all(host, caller)? } else { netns::list_named(host, caller)? };
    session.emit(&listed.into_iter().map(NamespaceView::from).collect::<Vec<_>>())
}

fn of(session: &mut Session<'_, '_>, pids: &[u32]) -> Result<()> {
    let caller = session.at.caller.inode()?;
    let view = |pid: &u32| {
        let Membership { process, inode, names, is_host, shared_with, complete } =
            netns::of_pid(*pid, &session.at.host)?;
        let names = names.into_iter().map(Into::into).collect();
        let shared_with = shared_with.iter().map(ProcessView::from).collect();
        let process = ProcessView::from(&process);
        Ok(WhereView { process, inode, names, host: is_host, caller: inode == caller, shared_with, complete })
    };
    let views = pids.iter().map(view).collect::<Result<Vec<_>>>()?;
    session.emit(&views)
}

impl From<&Process> for ProcessView {
    fn from(process: &Process) -> Self {
        let Process { pid, comm } = process;
        Self { pid: *pid, comm: Some(comm).filter(|comm| !comm.is_empty()).map(|comm| comm.as_str().into()) }
    }
}

impl From<Listed> for NamespaceView {
    fn from(listed: Listed) -> Self {
        let Listed { inode, names, processes, example, interfaces, is_host, is_caller } = listed;
        let example = example.as_ref().map(ProcessView::from);
        let names = names.into_iter().map(Into::into).collect();
        let interfaces = interfaces.map(|names| names.into_iter().map(Into::into).collect());
        Self { inode, names, processes, example, interfaces, host: is_host, caller: is_caller }
    }
}
