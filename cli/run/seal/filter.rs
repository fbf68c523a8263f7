//! The seccomp filter of a sealed run, for every system call ABI of this machine.
//!
//! Three kinds of calls become notifications to the supervisor (`seccomp_unotify(2)`): those that
//! start a program; those whose arguments may name the supervisor's process, such as signals and
//! `ptrace` (in another PID namespace the number may mean another process, which only the
//! supervisor can tell); and those after which a path may mean another file to the process than to
//! the supervisor. All others go on at once.
//!
//! A table of numbers, the program made from it and its test stand together here, so that they
//! cannot differ.

use std::os::fd::{FromRawFd as _, OwnedFd};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
    SECCOMP_RET_USER_NOTIF, c_long, c_ulong, sock_filter, sock_fprog,
};
use nix::errno::Errno;
use rampart_core::settings::SEALED_CALL;

/// The kind of a call that the filter has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `execve(2)`
    Execve,
    /// `execveat(2)`
    Execveat,
    /// It targets the supervisor, if the number means that in the caller's PID namespace.
    Aimed,
    /// It may change what paths mean: a root directory, a mount, a namespace.
    Moves,
}

/// A system call ABI: its numbers, and the size of its pointers.
pub struct Abi {
    /// `AUDIT_ARCH_*` (linux/audit.h)
    arch: u32,
    /// In bytes.
    pub pointer: usize,
    execve: u32,
    execveat: u32,
    /// Calls that act on a process, and the index of the argument that names it.
    aimed: &'static [(u32, usize)],
    /// Calls that change the root directory, what is mounted or the namespace.
    moves: &'static [u32],
    /// `kill(2)`, whose target may also be a group or every process.
    kill: u32,
    /// `prctl(2)`, by which the library finds out whether it is in a sealed run.
    prctl: u32,
    /// `exit_group(2)`, which can replace a refused call; `None` where that is not supported.
    pub exit_group: Option<u32>,
}

/// A conditional jump skips at most 255 instructions, two for each thread.
const MOST_THREADS: usize = 100;

/// Numbers of x32 have this bit (asm/unistd.h).
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;
/// `AUDIT_ARCH_I386` (linux/audit.h)
#[cfg(target_arch = "x86_64")]
const I386: u32 = 0x4000_0003;

// tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, ptrace, process_vm_readv and _writev,
// pidfd_open, prlimit64, tkill; chroot, pivot_root, mount, umount2 (and i386's umount), setns,
// move_mount
#[cfg(target_arch = "x86_64")]
const ABIS: &[Abi] = &[
    Abi {
        arch: 0xc000_003e,
        pointer: 8,
        execve: 59,
        execveat: 322,
        aimed: &[
            (234, 0),
            (129, 0),
            (297, 0),
            (101, 1),
            (310, 0),
            (311, 0),
            (434, 0),
            (302, 0),
            (200, 0),
        ],
        moves: &[161, 155, 165, 166, 308, 429],
        kill: 62,
        prctl: 157,
        exit_group: Some(231),
    },
    Abi {
        arch: 0xc000_003e,
        pointer: 4,
        execve: X32 + 520,
        execveat: X32 + 545,
        aimed: &[
            (X32 + 234, 0),
            (X32 + 524, 0),
            (X32 + 536, 0),
            (X32 + 521, 1),
            (X32 + 539, 0),
            (X32 + 540, 0),
            (X32 + 434, 0),
            (X32 + 302, 0),
            (X32 + 200, 0),
        ],
        moves: &[X32 + 161, X32 + 155, X32 + 165, X32 + 166, X32 + 308, X32 + 429],
        kill: X32 + 62,
        prctl: X32 + 157,
        exit_group: Some(X32 + 231),
    },
    Abi {
        arch: I386,
        pointer: 4,
        execve: 11,
        execveat: 358,
        aimed: &[
            (270, 0),
            (178, 0),
            (335, 0),
            (26, 1),
            (347, 0),
            (348, 0),
            (434, 0),
            (340, 0),
            (238, 0),
        ],
        moves: &[61, 217, 21, 52, 22, 346, 429],
        kill: 37,
        prctl: 172,
        exit_group: Some(252),
    },
];

#[cfg(target_arch = "aarch64")]
const ABIS: &[Abi] = &[
    Abi {
        arch: 0xc000_00b7,
        pointer: 8,
        execve: 221,
        execveat: 281,
        aimed: &[
            (131, 0),
            (138, 0),
            (240, 0),
            (117, 1),
            (270, 0),
            (271, 0),
            (434, 0),
            (261, 0),
            (130, 0),
        ],
        moves: &[51, 41, 40, 39, 268, 429],
        kill: 129,
        prctl: 167,
        exit_group: Some(94),
    },
    Abi {
        arch: 0x4000_0028,
        pointer: 4,
        execve: 11,
        execveat: 387,
        aimed: &[
            (268, 0),
            (178, 0),
            (363, 0),
            (26, 1),
            (376, 0),
            (377, 0),
            (434, 0),
            (369, 0),
            (238, 0),
        ],
        moves: &[61, 218, 21, 52, 375, 429],
        kill: 37,
        prctl: 172,
        exit_group: None,
    },
];

/// Nothing can be sealed on another machine.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ABIS: &[Abi] = &[];

/// Offsets in `struct seccomp_data` (linux/seccomp.h): the call's number, its architecture, the low
/// half of each argument. All architectures above are little-endian.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: [u32; 6] = [16, 24, 32, 40, 48, 56];

impl Abi {
    /// The ABI and the kind of a call; `None` for calls that the filter lets through.
    pub fn of(arch: u32, number: i32) -> Option<(&'static Self, Call)> {
        let number = number.cast_unsigned();
        ABIS.iter().filter(|abi| abi.arch == arch).find_map(|abi| {
            let call = match number {
                it if it == abi.execve => Call::Execve,
                it if it == abi.execveat => Call::Execveat,
                it if it == abi.kill || abi.aimed.iter().any(|(each, _)| *each == it) => {
                    Call::Aimed
                }
                it if abi.moves.contains(&it) => Call::Moves,
                _ => return None,
            };
            Some((abi, call))
        })
    }

    /// Whether it is i386's, which passes the first argument in another register.
    #[cfg(target_arch = "x86_64")]
    pub fn is_i386(&self) -> bool {
        self.arch == I386
    }
}

/// The filter's program. Calls by an unknown ABI fail with `ENOSYS`.
///
/// `supervisor` has the IDs of the supervisor's threads, the main thread first: any of them can
/// name the process (kill(2), ptrace(2)). `mark` is the error that [`SEALED_CALL`] fails with.
pub fn program(supervisor: &[i32], mark: u16) -> Vec<sock_filter> {
    let supervisor: Vec<u32> =
        supervisor.iter().take(MOST_THREADS).map(|it| it.cast_unsigned()).collect();
    let mut code = vec![load(ARCH)];
    let mut ways: Vec<u32> = ABIS.iter().map(|abi| abi.arch).collect();
    ways.dedup();
    for arch in ways {
        let block = calls(ABIS.iter().filter(|abi| abi.arch == arch), &supervisor, mark);
        // The block may be longer than the 255 instructions that a conditional jump can skip.
        code.push(unless_equal(arch, 1));
        code.push(jump(1));
        code.push(jump(block.len()));
        code.extend(block);
    }
    code.push(give(SECCOMP_RET_ERRNO | libc::ENOSYS as u32));
    code
}

/// The part of the program for one value of `arch`.
fn calls<'a>(
    abis: impl Iterator<Item = &'a Abi>,
    supervisor: &[u32],
    mark: u16,
) -> Vec<sock_filter> {
    let everybody = u32::MAX;
    let its_group = supervisor.first().map(|own| own.wrapping_neg());
    let killed: Vec<u32> = supervisor.iter().copied().chain(its_group).chain([everybody]).collect();
    let mut code = vec![load(NUMBER)];
    for abi in abis {
        for number in [abi.execve, abi.execveat].iter().chain(abi.moves) {
            code.push(unless_equal(*number, 1));
            code.push(give(SECCOMP_RET_USER_NOTIF));
        }
        let asked = SECCOMP_RET_USER_NOTIF;
        for (number, index) in abi.aimed {
            code.extend(if_argument_is(*number, *index, supervisor, asked));
        }
        code.extend(if_argument_is(abi.kill, 0, &killed, asked));
        let told = SECCOMP_RET_ERRNO | u32::from(mark);
        code.extend(if_argument_is(abi.prctl, 0, &[SEALED_CALL], told));
    }
    code.push(give(SECCOMP_RET_ALLOW));
    code
}

fn if_argument_is(number: u32, index: usize, values: &[u32], action: u32) -> Vec<sock_filter> {
    let mut block = vec![load(ARGUMENTS[index])];
    for value in values {
        block.push(unless_equal(*value, 1));
        block.push(give(action));
    }
    block.push(give(SECCOMP_RET_ALLOW));
    let mut code = vec![unless_equal(number, u8::try_from(block.len()).unwrap_or(u8::MAX))];
    code.extend(block);
    code
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset)
}

/// Skips `skipped` instructions unless the loaded number equals `value`.
fn unless_equal(value: u32, skipped: u8) -> sock_filter {
    instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, skipped, value)
}

fn jump(skipped: usize) -> sock_filter {
    instruction(BPF_JMP, 0, 0, u32::try_from(skipped).unwrap_or(u32::MAX))
}

fn give(action: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, 0, 0, action)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt, jf, k }
}

/// Installs a filter in this thread, inherited by all that it starts. Returns the listener, the
/// descriptor for notifications.
///
/// # Errors
/// `EACCES` without `no_new_privs` or `CAP_SYS_ADMIN`; `EBUSY` if there already is a listener;
/// `EINVAL` and `ENOSYS` if the kernel cannot; what a container's own filter returns.
pub fn install(program: &[sock_filter]) -> Result<OwnedFd, Errno> {
    // With this flag only a fatal signal interrupts a caller whose notification was received (since
    // Linux 5.19). Without it, each of the signals that Go's runtime sends itself would restart the
    // call, and it would be asked about again.
    match install_with(program, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(Errno::EINVAL) => install_with(program, 0),
        installed => installed,
    }
}

fn install_with(program: &[sock_filter], flag: c_ulong) -> Result<OwnedFd, Errno> {
    let list = sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?,
        filter: program.as_ptr().cast_mut(),
    };
    let operation = c_ulong::from(libc::SECCOMP_SET_MODE_FILTER);
    let flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | flag;
    // SAFETY: the kernel copies the list, which outlives the call, and writes nothing (seccomp(2)).
    let descriptor: c_long =
        unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const list) };
    let descriptor = i32::try_from(Errno::result(descriptor)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use libc::{SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_USER_NOTIF, sock_filter};

    use super::{ABIS, ARGUMENTS, Abi, Call, program};

    const SUPERVISOR: i32 = 4711;
    const THREADS: [i32; 3] = [SUPERVISOR, 4713, 4720];
    const MARK: u16 = 1234;

    /// Runs the program as the kernel would.
    fn run(program: &[sock_filter], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let it = program[at];
            at += 1;
            match it.code {
                0x20 if it.k == 0 => loaded = number,
                0x20 if it.k == 4 => loaded = arch,
                0x20 => {
                    let index = ARGUMENTS.iter().position(|at| *at == it.k).expect("an argument");
                    loaded = u32::try_from(arguments[index] & 0xffff_ffff).expect("the low half");
                }
                0x15 => at += usize::from(if loaded == it.k { it.jt } else { it.jf }),
                0x05 => at += it.k as usize,
                0x06 => return it.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn every_way_to_start_a_program_is_asked_about_and_other_calls_are_not() {
        let code = program(&THREADS, MARK);
        for abi in ABIS {
            for number in [abi.execve, abi.execveat].iter().chain(abi.moves) {
                assert_eq!(run(&code, abi.arch, *number, [0; 6]), SECCOMP_RET_USER_NOTIF);
            }
            let asked = |number: &u32| run(&code, abi.arch, *number, [0; 6]) != SECCOMP_RET_ALLOW;
            let known: Vec<u32> = ABIS
                .iter()
                .filter(|each| each.arch == abi.arch)
                .flat_map(|each| {
                    [each.execve, each.execveat].into_iter().chain(each.moves.to_vec())
                })
                .collect();
            let all = (0..600).chain(0x4000_0000..0x4000_0000 + 600);
            assert!(all.filter(asked).all(|number| known.contains(&number)));
        }
    }

    #[test]
    fn what_is_aimed_at_the_supervisor_is_asked_about_and_what_is_aimed_at_others_is_not() {
        let code = program(&THREADS, MARK);
        let own = u64::from(SUPERVISOR.unsigned_abs());
        for abi in ABIS {
            for (number, index) in abi.aimed.iter().copied().chain([(abi.kill, 0)]) {
                let with = |value: u64| {
                    let mut arguments = [7; 6];
                    arguments[index] = value;
                    run(&code, abi.arch, number, arguments)
                };
                for thread in THREADS {
                    let thread = u64::from(thread.unsigned_abs());
                    assert_eq!(with(thread), SECCOMP_RET_USER_NOTIF, "{number}");
                }
                // The kernel takes the low half only.
                assert_eq!(with(own | 1 << 40), SECCOMP_RET_USER_NOTIF, "{number}");
                assert_eq!(with(own + 1), SECCOMP_RET_ALLOW, "{number}");
            }
            for (pid, action) in [
                (-i64::from(SUPERVISOR), SECCOMP_RET_USER_NOTIF),
                (-1, SECCOMP_RET_USER_NOTIF),
                (0, SECCOMP_RET_ALLOW),
                (1, SECCOMP_RET_ALLOW),
                (-2, SECCOMP_RET_ALLOW),
            ] {
                let arguments = [pid.cast_unsigned(), 9, 0, 0, 0, 0];
                assert_eq!(run(&code, abi.arch, abi.kill, arguments), action, "{pid}");
            }
        }
    }

    #[test]
    fn a_process_can_tell_that_it_is_in_this_run() {
        let code = program(&THREADS, MARK);
        for abi in ABIS {
            let call = |argument| run(&code, abi.arch, abi.prctl, [argument, 0, 0, 0, 0, 0]);
            let told = SECCOMP_RET_ERRNO | u32::from(MARK);
            assert_eq!(call(rampart_core::settings::SEALED_CALL.into()), told);
            assert_eq!(call(38), SECCOMP_RET_ALLOW);
        }
    }

    #[test]
    fn the_calls_that_move_what_is_where_have_these_numbers_here() {
        let own = [
            libc::SYS_chroot,
            libc::SYS_pivot_root,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_setns,
            libc::SYS_move_mount,
        ];
        assert!(own.iter().copied().eq(ABIS[0].moves.iter().map(|it| i64::from(*it))));
    }

    #[test]
    fn a_way_that_is_not_known_fails_and_kills_nobody() {
        let answer = run(&program(&THREADS, MARK), 0x1234, 59, [0; 6]);
        assert_eq!(answer, SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
    }

    #[test]
    fn each_number_is_read_back_as_what_it_is() {
        for abi in ABIS {
            for (number, call) in [
                (abi.execve, Call::Execve),
                (abi.execveat, Call::Execveat),
                (abi.kill, Call::Aimed),
                (abi.aimed[0].0, Call::Aimed),
                (abi.moves[0], Call::Moves),
            ] {
                let (found, what) = Abi::of(abi.arch, number.cast_signed()).expect("a call");
                assert_eq!((found.pointer, what), (abi.pointer, call));
            }
            let calls = [Call::Aimed, Call::Moves];
            assert!(Abi::of(abi.arch, 1).is_none_or(|(_, call)| calls.contains(&call)));
        }
    }
}
