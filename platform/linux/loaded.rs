//! What the dynamic loader has loaded, read where it stands.
//!
//! `dlsym(3)` and `dladdr(3)` take the loader's lock, and another thread may hold that for as
//! long as a library's constructor likes, or wait in one for the very thread that asks. The
//! list that the loader keeps for debuggers (`struct r_debug`, link.h) needs no lock to read:
//! what stands between this library and the C library is there from the start to the end.

use core::ffi::{CStr, c_char, c_int, c_void};

/// `struct r_debug`
#[repr(C)]
struct Debug {
    version: c_int,
    first: *const Object,
}

/// `struct link_map`, as far as debuggers may read it.
#[repr(C)]
struct Object {
    base: usize,
    name: *const c_char,
    dynamic: *const Entry,
    next: *const Object,
}

/// `Elf64_Dyn`
#[repr(C)]
struct Entry {
    tag: usize,
    value: usize,
}

/// `Elf64_Sym`
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: usize,
    size: u64,
}

/// Tags of the dynamic section (elf.h).
mod tag {
    pub const END: usize = 0;
    pub const HASH: usize = 4;
    pub const STRINGS: usize = 5;
    pub const SYMBOLS: usize = 6;
    pub const GNU_HASH: usize = 0x6fff_fef5;
    pub const VERSIONS: usize = 0x6fff_fff0;
}

/// The lists of the loaders: glibc's is a variable of that name, musl's is behind a pointer.
/// NULL for the one that does not run this process.
fn lists() -> (*const Debug, *const *const Debug) {
    let glibc: *const Debug;
    let musl: *const *const Debug;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads two words that the loader has filled in: addresses, or zero for what the
    // other C library has.
    unsafe {
        core::arch::asm!(
            ".weak _r_debug",
            ".weak _dl_debug_addr",
            "mov {}, qword ptr [rip + _r_debug@GOTPCREL]",
            "mov {}, qword ptr [rip + _dl_debug_addr@GOTPCREL]",
            out(reg) glibc, out(reg) musl,
            options(nostack, readonly, preserves_flags)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            ".weak _r_debug",
            ".weak _dl_debug_addr",
            "adrp {0}, :got:_r_debug",
            "ldr {0}, [{0}, #:got_lo12:_r_debug]",
            "adrp {1}, :got:_dl_debug_addr",
            "ldr {1}, [{1}, #:got_lo12:_dl_debug_addr]",
            out(reg) glibc, out(reg) musl,
            options(nostack, readonly, preserves_flags)
        );
    }
    (glibc, musl)
}

/// The variable that makes the loader list what it would load, and end (ld.so(8)): glibc's. To
/// musl's it means nothing, so that a program would run without the library.
pub fn listing_variable() -> Option<&'static CStr> {
    let (glibc, _) = lists();
    (!glibc.is_null()).then_some(c"LD_TRACE_LOADED_OBJECTS")
}

/// The list of the loader that runs this process.
fn debug() -> *const Debug {
    let (glibc, musl) = lists();
    if !glibc.is_null() {
        return glibc;
    }
    // SAFETY: musl's variable is there if its address is.
    unsafe { musl.as_ref() }.map_or(core::ptr::null(), |musl| *musl)
}

/// This library's own dynamic section.
fn own_dynamic() -> *const Entry {
    let here: *const Entry;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the linker defines it in each shared library.
    unsafe {
        core::arch::asm!(
            ".hidden _DYNAMIC",
            "lea {}, [rip + _DYNAMIC]",
            out(reg) here,
            options(nostack, nomem, preserves_flags)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!(
            ".hidden _DYNAMIC",
            "adrp {0}, _DYNAMIC",
            "add {0}, {0}, #:lo12:_DYNAMIC",
            out(reg) here,
            options(nostack, nomem, preserves_flags)
        );
    }
    here
}

/// This library among what is loaded.
fn ours() -> Option<&'static Object> {
    let here = own_dynamic();
    // SAFETY: the loader's list, which ends with NULL; an object stays as long as it is loaded.
    unsafe {
        let mut object = debug().as_ref()?.first.as_ref()?;
        while object.dynamic != here {
            object = object.next.as_ref()?;
        }
        Some(object)
    }
}

/// The file that the loader took this library from, as it was told.
pub fn library_file() -> Option<&'static CStr> {
    let name = ours()?.name;
    // SAFETY: the loader's own string, which lives as long as the library.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })
}

/// The name of a function, and its hash.
pub struct Name {
    text: &'static CStr,
    hash: u32,
}

impl Name {
    /// The name, which ends with NUL, with its hash as GNU's tables have it.
    pub const fn new(text: &'static str) -> Self {
        let Ok(text) = CStr::from_bytes_with_nul(text.as_bytes()) else { panic!("no NUL") };
        let bytes = text.to_bytes();
        let (mut hash, mut at) = (5381u32, 0);
        while at < bytes.len() {
            hash = hash.wrapping_mul(33).wrapping_add(bytes[at] as u32);
            at += 1;
        }
        Self { text, hash }
    }
}

/// The next definition of each function behind this library's, as `dlsym(RTLD_NEXT)` finds it;
/// NULL where there is none.
pub fn behind_this<const COUNT: usize>(names: &[Name; COUNT]) -> [*const c_void; COUNT] {
    let mut found = [core::ptr::null::<c_void>(); COUNT];
    let mut next = ours().map_or(core::ptr::null(), |ours| ours.next);
    // SAFETY: as in `ours`.
    while let Some(object) = unsafe { next.as_ref() } {
        // SAFETY: the object is loaded.
        if let Some(tables) = unsafe { Tables::of(object) } {
            for (name, slot) in names.iter().zip(&mut found).filter(|(_, slot)| slot.is_null()) {
                // SAFETY: the tables are those of a loaded object.
                *slot = unsafe { tables.function(name) };
            }
            if found.iter().all(|slot| !slot.is_null()) {
                break;
            }
        }
        next = object.next;
    }
    found
}

/// Where an object's symbols are found (`elf(5)`).
struct Tables {
    base: usize,
    symbols: *const Symbol,
    strings: *const c_char,
    /// NULL if the object has no versions.
    versions: *const u16,
    gnu_hash: *const u64,
    hash: *const u32,
}

impl Tables {
    /// `None` if the object has no symbols.
    ///
    /// # Safety
    /// The object must be loaded.
    unsafe fn of(object: &Object) -> Option<Self> {
        let base = object.base;
        let (mut symbols, mut strings, mut versions) = (0, 0, 0);
        let (mut gnu_hash, mut hash) = (0, 0);
        let mut next = object.dynamic;
        // SAFETY: the dynamic section ends with this tag.
        while let Some(entry) = unsafe { next.as_ref() }.filter(|it| it.tag != tag::END) {
            let Entry { tag, value } = entry;
            // glibc has added the base already, musl has not.
            let address = if *value < base { base.wrapping_add(*value) } else { *value };
            match *tag {
                tag::SYMBOLS => symbols = address,
                tag::STRINGS => strings = address,
                tag::VERSIONS => versions = address,
                tag::GNU_HASH => gnu_hash = address,
                tag::HASH => hash = address,
                _ => {}
            }
            next = next.wrapping_add(1);
        }
        (symbols != 0 && strings != 0).then_some(Self {
            base,
            symbols: symbols as *const Symbol,
            strings: strings as *const c_char,
            versions: versions as *const u16,
            gnu_hash: gnu_hash as *const u64,
            hash: hash as *const u32,
        })
    }

    /// The function of that name; NULL if the object defines none.
    unsafe fn function(&self, name: &Name) -> *const c_void {
        // SAFETY: the promise of `of`: the tables are as the object's file has them.
        let found = unsafe {
            match (self.gnu_hash.as_ref(), self.hash.as_ref()) {
                (Some(_), _) => self.by_gnu_hash(name),
                (None, Some(_)) => self.by_scan(name),
                (None, None) => None,
            }
        };
        found.unwrap_or_default() as *const c_void
    }

    /// Looks in a table of the kind `DT_GNU_HASH`: a head, a Bloom filter, the first symbol of
    /// each bucket, and for each symbol its hash, odd at the end of a bucket.
    unsafe fn by_gnu_hash(&self, name: &Name) -> Option<usize> {
        // SAFETY: the promise of `of`.
        unsafe {
            let [buckets, first, words, shift] = self.gnu_hash.cast::<[u32; 4]>().read();
            let filter = self.gnu_hash.add(2);
            let word = filter.add((name.hash / u64::BITS).checked_rem(words)? as usize).read();
            let bits = [name.hash, name.hash.checked_shr(shift).unwrap_or_default()];
            if bits.iter().any(|bit| word >> (bit % u64::BITS) & 1 == 0) {
                return None;
            }
            let firsts = filter.add(words as usize).cast::<u32>();
            let mut at = firsts.add(name.hash.checked_rem(buckets)? as usize).read();
            let mut hash = firsts.add(buckets as usize).add(at.checked_sub(first)? as usize);
            loop {
                if (*hash ^ name.hash) >> 1 == 0
                    && let Some(address) = self.defined(at as usize, name)
                {
                    return Some(address);
                }
                if *hash & 1 == 1 {
                    return None;
                }
                (at, hash) = (at.wrapping_add(1), hash.add(1));
            }
        }
    }

    /// Looks through an object that has only the old table, `DT_HASH`, whose second word is the
    /// number of symbols.
    unsafe fn by_scan(&self, name: &Name) -> Option<usize> {
        // SAFETY: the promise of `of`.
        unsafe {
            let count = self.hash.add(1).read() as usize;
            (0..count).find_map(|at| self.defined(at, name))
        }
    }

    /// The address of a symbol if it defines the function of this name, in the version that a
    /// program linked today would get.
    unsafe fn defined(&self, at: usize, name: &Name) -> Option<usize> {
        const HIDDEN: u16 = 0x8000;
        const TYPE_MASK: u8 = 0xf;
        const FUNCTION: u8 = 2;
        const UNDEFINED: u16 = 0;
        // SAFETY: the promise of `of`.
        unsafe {
            let symbol = self.symbols.add(at).as_ref()?;
            if symbol.section == UNDEFINED || symbol.info & TYPE_MASK != FUNCTION {
                return None;
            }
            if self.versions.as_ref().is_some_and(|_| *self.versions.add(at) & HIDDEN != 0) {
                return None;
            }
            let text = CStr::from_ptr(self.strings.add(symbol.name as usize));
            (text == name.text).then(|| self.base.wrapping_add(symbol.value))
        }
    }
}

/// The function at a pointer; `None` for NULL.
///
/// # Safety
/// `Function` must be the function's type.
pub unsafe fn function<Function: Copy>(pointer: *const c_void) -> Option<Function> {
    const { assert!(size_of::<Function>() == size_of::<*const c_void>()) };
    // SAFETY: the caller's promise; the sizes are alike.
    (!pointer.is_null()).then(|| unsafe { core::mem::transmute_copy(&pointer) })
}
