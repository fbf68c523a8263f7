//! The loaded objects, read from the dynamic loader's list without its lock.
//!
//! `dlsym(3)` and `dladdr(3)` take the loader's lock. Another thread may hold that while a
//! library's constructor runs, which may even wait for the calling thread. The list that the loader
//! keeps for debuggers (`struct r_debug`, link.h) can be read without the lock: the objects between
//! this library and the C library are loaded before any code runs, and never unloaded.

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

/// The debuggers' lists: `_r_debug` is glibc's, `_dl_debug_addr` points to musl's. The one that
/// this process's loader does not define is NULL.
fn lists() -> (*const Debug, *const *const Debug) {
    let glibc: *const Debug;
    let musl: *const *const Debug;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: only reads two words of the global offset table, which the loader has set to the
    // addresses of the symbols, or to zero for a weak symbol that is not defined.
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

/// The variable that makes glibc's loader list what it would load and exit (ld.so(8)). musl's
/// loader ignores it: leaving the library out would start the program unguarded.
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
    // SAFETY: NULL, or the address of musl's variable.
    unsafe { musl.as_ref() }.map_or(core::ptr::null(), |musl| *musl)
}

/// This library's own dynamic section.
fn own_dynamic() -> *const Entry {
    let here: *const Entry;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: only computes the address of a symbol that the linker defines in each shared library.
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

/// This library's entry in the list.
fn ours() -> Option<&'static Object> {
    let here = own_dynamic();
    // SAFETY: the loader's list of objects ends with NULL. This library and those before it stay
    // loaded, so that their entries are valid and unchanged.
    unsafe {
        let mut object = debug().as_ref()?.first.as_ref()?;
        while object.dynamic != here {
            object = object.next.as_ref()?;
        }
        Some(object)
    }
}

/// The path by which the loader opened this library.
pub fn library_file() -> Option<&'static CStr> {
    let name = ours()?.name;
    // SAFETY: a string of the loader's, which it keeps as long as the library is loaded.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })
}

/// The name of a function, and its hash.
pub struct Name {
    text: &'static CStr,
    hash: u32,
}

impl Name {
    /// A name, given with a final NUL, and its hash for `DT_GNU_HASH` tables.
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

/// The next definition of each function after this library, as `dlsym(RTLD_NEXT)` would find it;
/// NULL if there is none. And the number of objects that define them.
pub fn behind_this<const COUNT: usize>(names: &[Name; COUNT]) -> ([*const c_void; COUNT], usize) {
    let mut found = [core::ptr::null::<c_void>(); COUNT];
    let mut objects = 0_usize;
    let mut next = ours().map_or(core::ptr::null(), |ours| ours.next);
    // SAFETY: as in `ours`; the C library, with which the search ends, is never unloaded either.
    while let Some(object) = unsafe { next.as_ref() } {
        // SAFETY: the object is in the loader's list, so it is loaded.
        if let Some(tables) = unsafe { Tables::of(object) } {
            let mut defines = false;
            for (name, slot) in names.iter().zip(&mut found).filter(|(_, slot)| slot.is_null()) {
                // SAFETY: the tables are those of a loaded object.
                *slot = unsafe { tables.function(name) };
                defines |= !slot.is_null();
            }
            objects = objects.saturating_add(usize::from(defines));
            if found.iter().all(|slot| !slot.is_null()) {
                break;
            }
        }
        next = object.next;
    }
    (found, objects)
}

/// The symbol tables of an object (`elf(5)`).
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
        // SAFETY: the dynamic section of a loaded object ends with an entry of this tag, which the
        // walk does not pass.
        while let Some(entry) = unsafe { next.as_ref() }.filter(|it| it.tag != tag::END) {
            let Entry { tag, value } = entry;
            // glibc's loader has added the base to these entries, musl's has not.
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

    /// The function of that name; NULL if the object does not define it.
    ///
    /// # Safety
    /// Here and below: the object is still loaded.
    unsafe fn function(&self, name: &Name) -> *const c_void {
        // SAFETY: the object is loaded, so its tables are mapped.
        let found = unsafe {
            match (self.gnu_hash.as_ref(), self.hash.as_ref()) {
                (Some(_), _) => self.by_gnu_hash(name),
                (None, Some(_)) => self.by_scan(name),
                (None, None) => None,
            }
        };
        found.unwrap_or_default() as *const c_void
    }

    /// Looks in a `DT_GNU_HASH` table: a header, a Bloom filter, the first symbol of each bucket,
    /// and the hash of each symbol, with the lowest bit set at the end of a bucket.
    unsafe fn by_gnu_hash(&self, name: &Name) -> Option<usize> {
        // SAFETY: the object is loaded, and the offsets are those that its linker wrote into the
        // table: the walk ends with the bucket.
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

    /// Looks through all symbols of an object that has only a `DT_HASH` table, whose second word is
    /// their number.
    unsafe fn by_scan(&self, name: &Name) -> Option<usize> {
        // SAFETY: the object is loaded, and has as many symbols as its table says.
        unsafe {
            let count = self.hash.add(1).read() as usize;
            (0..count).find_map(|at| self.defined(at, name))
        }
    }

    /// The address of symbol `at` if it defines the function of this name, in its default version:
    /// the one that a program linked today would get.
    unsafe fn defined(&self, at: usize, name: &Name) -> Option<usize> {
        const HIDDEN: u16 = 0x8000;
        const TYPE_MASK: u8 = 0xf;
        const FUNCTION: u8 = 2;
        const UNDEFINED: u16 = 0;
        // SAFETY: the object is loaded, and `at` is the number of one of its symbols; its version
        // has the same number, and its name is a string in the string table.
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
/// `Function` is the type of the function at the pointer.
pub unsafe fn function<Function: Copy>(pointer: *const c_void) -> Option<Function> {
    const { assert!(size_of::<Function>() == size_of::<*const c_void>()) };
    // SAFETY: the pointer is to a function of this type (the caller's promise), and a function
    // pointer has the same size.
    (!pointer.is_null()).then(|| unsafe { core::mem::transmute_copy(&pointer) })
}
