//! The machine: what this project needs to know of an operating system. Code that differs between
//! systems matches on [`Os`].

use core::ffi::CStr;

/// An operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// Linux, with any C library.
    Linux,
    /// macOS.
    MacOs,
}

impl Os {
    /// The system that this was built for.
    #[cfg(target_os = "linux")]
    pub const HERE: Self = Self::Linux;
    /// The system that this was built for.
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

    /// The size of `sun_path`, in bytes: the path of a Unix socket and its NUL (`unix(7)`,
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
        // `ld.so(8)` splits at colons and spaces, dyld at colons only.
        let separators: &[u8] = match self {
            Self::Linux => b": ",
            Self::MacOs => b":",
        };
        list.split(|byte| separators.contains(byte)).filter(|name| !name.is_empty())
    }
}

/// The processor as a process sees it: under Rosetta it is `X86_64`, and the children of a
/// translated process are translated too if they can be.
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
    /// The machine that this was built for.
    pub const HERE: Self = Self {
        os: Os::HERE,
        cpu: if cfg!(target_arch = "aarch64") { Cpu::Arm64 } else { Cpu::X86_64 },
    };
}
