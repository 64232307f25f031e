//! What the server must not outlive: the name of its host's namespace, which it would keep from going, and the run directory, without which
//! no command finds it.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::Path,
    rc::Rc,
    time::Duration,
};

use fwd_base::{Context as _, Result};
use fwd_kernel::netns::DIRECTORY;
use tokio::time::sleep;

use super::State;

/// How often it is looked for.
const OFTEN: Duration = Duration::from_secs(2);

/// Where the server belongs.
#[derive(Debug)]
pub(super) struct Home {
    run_dir: File,
    /// Device and inode of the namespace, if it has a name.
    namespace: Option<(u64, u64)>,
}

impl Home {
    pub(super) fn of_socket(socket: &Path) -> Result<Self> {
        let dir = socket.parent().unwrap_or(socket);
        let run_dir = File::open(dir).doing("open", dir.display().to_string())?;
        let own = fs::metadata("/proc/thread-self/ns/net").doing("examine", "the namespace")?;
        let own = (own.dev(), own.ino());
        Ok(Self { run_dir, namespace: is_named(own).then_some(own) })
    }

    fn is_there(&self) -> bool {
        let run_dir = self.run_dir.metadata().is_ok_and(|dir| dir.nlink() > 0);
        run_dir && self.namespace.is_none_or(is_named)
    }
}

fn is_named(namespace: (u64, u64)) -> bool {
    let names = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let mut files = names.filter_map(|name| fs::metadata(name.path()).ok());
    files.any(|file| (file.dev(), file.ino()) == namespace)
}

/// Ends the server when it has none any more.
pub(super) async fn watch(state: Rc<State>, home: Home) {
    while home.is_there() {
        sleep(OFTEN).await;
    }
    state.end.notify_one();
}
