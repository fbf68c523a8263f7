//! Threads whose work can wait.

/// Lets what this thread is woken for interrupt no other thread (`SCHED_BATCH`, sched(7)): on a busy
/// machine it would take the processor from those whose work it records. It gets no less time than
/// they do. A thread that a person gave another policy keeps that.
///
/// Its pauses may end two milliseconds later, when another timer of the processor does
/// (`PR_SET_TIMERSLACK`): each by itself interrupts somebody, too.
pub fn gives_way() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_timerslack(2_000_000);
    #[cfg(target_os = "linux")]
    if policy() == libc::c_long::from(libc::SCHED_OTHER) {
        let plain = libc::sched_param { sched_priority: 0 };
        // By its number, because musl has no such function.
        // SAFETY: sched_setscheduler(2) reads one `sched_param`, which this is; 0 means this thread.
        let _ = unsafe {
            libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_BATCH, &raw const plain)
        };
    }
}

#[cfg(target_os = "linux")]
fn policy() -> libc::c_long {
    // SAFETY: sched_getscheduler(2) takes a number; 0 means this thread.
    unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use nix::sys::prctl::get_timerslack;

    use super::{gives_way, policy};

    #[test]
    fn a_thread_gives_way_alone_and_not_if_somebody_has_said_how_it_runs() {
        let now = || (policy(), get_timerslack().unwrap());
        let before = now();
        let ordinary = before.0 == libc::c_long::from(libc::SCHED_OTHER);
        let given = std::thread::spawn(move || {
            gives_way();
            now()
        });
        let expected = if ordinary { libc::SCHED_BATCH.into() } else { before.0 };
        assert_eq!((given.join().unwrap(), now()), ((expected, 2_000_000), before));
    }
}
