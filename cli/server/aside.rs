//! Work that would hold up other clients.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::oneshot;

/// Works on a thread of its own, or here if there is none to be had (`ulimit -u`). `None` if the
/// work panicked.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let work = Arc::new(Mutex::new(Some(work)));
    let take = |work: &Mutex<Option<_>>| work.lock().ok()?.take();
    let (done, result) = oneshot::channel();
    let there = Arc::clone(&work);
    let run = move || {
        if let Some(work) = take(&there) {
            // Nobody waits for it any more once the server ends.
            let _ = done.send(work());
        }
    };
    match thread::Builder::new().name("aside".into()).spawn(run) {
        Ok(_) => result.await.ok(),
        Err(_) => catch_unwind(AssertUnwindSafe(take(&work)?)).ok(),
    }
}
