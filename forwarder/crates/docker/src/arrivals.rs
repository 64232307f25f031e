//! Waits until docker has moved interfaces into their containers: the kernel tells of each interface of the host that changes.

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    sync::Arc,
    thread,
    time::Duration,
};

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use tokio::{sync::Notify, task::spawn_blocking, time};

use crate::driver::Driver;
use fwd_base::{Context as _, Result};

/// `RTMGRP_LINK` (rtnetlink(7)).
const LINKS: u32 = 1;
/// What is told of an interface; more than that is cut, and nothing of it is read.
const MESSAGE: usize = 4096;
/// While one waits, a look is taken at least so often: what the kernel told may have been lost, when there was too much of it.
const INTERVAL: Duration = Duration::from_secs(1);
/// What is followed, in messages.
const CHANGES: &str = "changes of interfaces";

/// Tells of every change of an interface of the calling thread's namespace; many at once are one.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn changes() -> Result<Arc<Notify>> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute);
    let socket = socket.doing("follow", CHANGES)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, LINKS)).doing("follow", CHANGES)?;
    let changed = Arc::new(Notify::new());
    let told = Arc::clone(&changed);
    thread::Builder::new().name("links".into()).spawn(move || listen(&socket, &told)).doing("follow", CHANGES)?;
    Ok(changed)
}

fn listen(socket: &OwnedFd, changed: &Notify) {
    let mut message = [0; MESSAGE];
    loop {
        match recv(socket.as_raw_fd(), &mut message, MsgFlags::empty()) {
            // So many that some were lost: that is a change, too.
            Ok(_) | Err(nix::Error::ENOBUFS) => changed.notify_one(),
            Err(nix::Error::EINTR) => {}
            Err(error) => return tracing::warn!("cannot follow {CHANGES}, and looks once a second: {error}"),
        }
    }
}

/// Learns which namespaces containers have, as soon as they have their interfaces.
pub(crate) async fn follow(driver: Arc<Driver>, changed: Arc<Notify>) {
    loop {
        while !driver.awaits() {
            driver.begins.notified().await;
        }
        let looking = Arc::clone(&driver);
        match spawn_blocking(move || looking.follow()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!("{error}");
                driver.await_container();
            }
            Err(panic) => tracing::error!("a look for containers has panicked: {panic}"),
        }
        if driver.awaits() {
            // Looked at in either case.
            drop(time::timeout(INTERVAL, changed.notified()).await);
        }
    }
}
