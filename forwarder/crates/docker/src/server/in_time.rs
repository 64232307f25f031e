//! Calls that take longer than docker waits.

use std::time::Duration;

use tokio::{
    sync::oneshot,
    task::{JoinError, spawn_blocking},
    time,
};

/// What `doing` comes to on a thread of its own; none if that takes longer than `patience`. It goes on all the same: what it has come to when
/// nobody waits any more, because it took too long or because who has asked is gone, `late` is given there.
///
/// # Errors
/// It has panicked.
pub(super) async fn in_time<T: Send + 'static>(
    patience: Duration,
    doing: impl FnOnce() -> T + Send + 'static,
    late: impl FnOnce(T) + Send + 'static,
) -> Result<Option<T>, JoinError> {
    let (done, mut waiting) = oneshot::channel();
    // What nobody waits for comes back.
    let thread = spawn_blocking(move || done.send(doing()).unwrap_or_else(late));
    match time::timeout(patience, &mut waiting).await {
        Ok(Ok(result)) => Ok(Some(result)),
        Ok(Err(_panicked)) => thread.await.map(|()| None),
        Err(_elapsed) => {
            // Either it was done before this, or it is late.
            waiting.close();
            Ok(waiting.try_recv().ok())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
    }

    #[test]
    fn what_is_done_in_time_is_answered_and_nothing_else() {
        let late = |_| unreachable!("it is in time");
        assert_eq!(block_on(in_time(LIMIT, || 7, late)).expect("no panic"), Some(7));
        let panicked = block_on(in_time(LIMIT, || -> u8 { panic!("it cannot be done") }, |_| {}));
        assert!(panicked.expect_err("it has panicked").to_string().contains("it cannot be done"));
    }

    #[test]
    fn what_is_done_late_is_told_where_it_was_done() {
        let ((begin, begins), (tell, told)) = (channel::<()>(), channel());
        block_on(async {
            let doing = move || begins.recv_timeout(LIMIT);
            let answered = in_time(Duration::ZERO, doing, move |done| tell.send(done).expect("it is heard")).await;
            assert_eq!(answered.expect("no panic"), None);
            begin.send(()).expect("it waits");
            assert_eq!(told.recv_timeout(LIMIT), Ok(Ok(())));
        });
    }

    #[test]
    fn what_is_done_for_one_who_is_gone_is_told_too() {
        let ((begin, begins), (tell, told)) = (channel::<()>(), channel());
        block_on(async {
            let doing = move || begins.recv_timeout(LIMIT);
            let asked = in_time(LIMIT, doing, move |done| tell.send(done).expect("it is heard"));
            assert!(time::timeout(Duration::ZERO, asked).await.is_err(), "it waits, and then is dropped");
            begin.send(()).expect("it waits");
            assert_eq!(told.recv_timeout(LIMIT), Ok(Ok(())));
        });
    }
}
