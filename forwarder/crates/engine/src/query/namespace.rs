//! `fwd ns`: namespaces, and who is inside.

use fwd_kernel::netns::{Listed, Process};
use fwd_render::{NamespaceView, ProcessView};

/// A process as it is shown.
#[must_use]
pub fn process(process: &Process) -> ProcessView {
    let Process { pid, comm } = process;
    ProcessView { pid: *pid, comm: Some(comm).filter(|comm| !comm.is_empty()).map(|comm| comm.as_str().into()) }
}

/// A namespace as it is shown.
#[must_use]
pub fn view(listed: Listed) -> NamespaceView {
    let Listed { inode, names, processes, example, interfaces, is_host, is_caller } = listed;
    let example = example.as_ref().map(process);
    let names = names.into_iter().map(Into::into).collect();
    let interfaces = interfaces.map(|names| names.into_iter().map(Into::into).collect());
    NamespaceView { inode, names, processes, example, interfaces, host: is_host, caller: is_caller }
}
