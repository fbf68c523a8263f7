//! The machine: what an operating system is to this project stands here, and each place that
//! differs by it matches on [`Os`].

use core::ffi::CStr;

/// Whose rules count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// Linux, with any C library.
    Linux,
    /// macOS.
    MacOs,
}

impl Os {
    /// The one that this was built for.
    #[cfg(target_os = "linux")]
    pub const HERE: Self = Self::Linux;
    /// The one that this was built for.
    #[cfg(target_os = "macos")]
    pub const HERE: Self = Self::MacOs;

    /// The variable that makes the loader load the library: the preload list.
    #[must_use]
    pub const fn preload_variable(self) -> &'static CStr {
        match self {
            Self::Linux => c"LD_PRELOAD",
            Self::MacOs => c"DYLD_INSERT_LIBRARIES",
        }
    }

    /// How many bytes `sun_path` has for the path of a Unix socket and its NUL (`unix(7)`,
    /// `sys/un.h`).
    #[must_use]
    pub const fn socket_path_room(self) -> usize {
        match self {
            Self::Linux => 108,
            Self::MacOs => 104,
        }
    }

    /// The libraries of a preload list.
    pub fn libraries(self, list: &[u8]) -> impl Iterator<Item = &[u8]> {
        // `ld.so(8)`; dyld knows the colon only.
        let separators: &[u8] = match self {
            Self::Linux => b": ",
            Self::MacOs => b":",
        };
        list.split(|byte| separators.contains(byte)).filter(|name| !name.is_empty())
    }
}

/// What the processor is, as processes see it: to a process that Rosetta translates it is
/// an `X86_64`, and its children run translated if they can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpu {
    /// 64-bit ARM.
    Arm64,
    /// 64-bit x86.
    X86_64,
}

/// The machine that is to run a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Its system.
    pub os: Os,
    /// Its processor.
    pub cpu: Cpu,
}

impl Host {
    /// The one that this was built for.
    pub const HERE: Self = Self {
        os: Os::HERE,
        cpu: if cfg!(target_arch = "aarch64") { Cpu::Arm64 } else { Cpu::X86_64 },
    };
}
