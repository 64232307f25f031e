//! The process: connections of dockerd on one thread, each call on one of its own.

mod http;
mod in_time;
mod listener;

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{UnixListener, UnixStream},
    runtime,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time,
};

use crate::{arrivals, driver::Driver};
use fwd_base::{Context as _, Result};

/// Calls that are done at once: of these only one changes the host, the others wait for it.
const AT_ONCE: usize = 64;
/// How long calls have to end once the process is told to.
const PATIENCE: Duration = Duration::from_secs(25);

/// Answers dockerd until the process is told to end.
///
/// # Errors
/// It cannot listen.
pub(crate) fn run(driver: Driver, path: &Path) -> Result<()> {
    let listener = listener::Listener::open(path)?;
    let mut builder = runtime::Builder::new_current_thread();
    let runtime = builder.max_blocking_threads(AT_ONCE).enable_all().build().doing("start", "docker's driver")?;
    let served = runtime.block_on(serve(Arc::new(driver), &listener));
    // What is still being done is done, or the next call completes it: the operations of the engine are made for that.
    runtime.shutdown_background();
    listener.forget();
    served
}

async fn serve(driver: Arc<Driver>, listener: &listener::Listener) -> Result<()> {
    let what = "docker's driver";
    let accepting = UnixListener::from_std(listener.socket()?).doing("start", what)?;
    let mut ends = signal(SignalKind::terminate()).doing("start", what)?;
    let mut interrupts = signal(SignalKind::interrupt()).doing("start", what)?;
    tokio::spawn(arrivals::follow(Arc::clone(&driver), arrivals::changes()?));
    // Each connection holds a receiver: when the last has gone, so has the last call.
    let (ending, open) = watch::channel(false);
    tracing::info!("docker's driver listens at {}", listener.name());
    loop {
        tokio::select! {
            accepted = accepting.accept() => match accepted {
                Ok((stream, _)) => _ = tokio::spawn(connection(Arc::clone(&driver), stream, open.clone())),
                // Too many files, for a moment: who waits is there afterwards, too.
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    time::sleep(Duration::from_millis(100)).await;
                }
            },
            _ = ends.recv() => break,
            _ = interrupts.recv() => break,
        }
    }
    drop(open);
    ending.send_replace(true);
    if time::timeout(PATIENCE, ending.closed()).await.is_err() {
        tracing::warn!("calls go on that docker waits for no more");
    }
    Ok(())
}

async fn told_to_end(ending: &mut watch::Receiver<bool>) {
    // Without a sender the process is at its end, too.
    drop(ending.wait_for(|ending| *ending).await);
}

/// One connection, on which calls come one after the other. Told to end, it does what it has read, and no more.
async fn connection(driver: Arc<Driver>, stream: UnixStream, mut ending: watch::Receiver<bool>) {
    let service = service_fn(|request| {
        let driver = Arc::clone(&driver);
        async move { Ok::<_, Infallible>(http::respond(driver, request).await) }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = told_to_end(&mut ending) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection of docker has ended: {error}");
    }
}
