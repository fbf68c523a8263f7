"""Shows that a universal librampart.dylib is what dyld must find, read off its bytes.

    macos_inspect.py LIBRARY TABLE MINIMUM_VERSION

TABLE is the source with the table of hooks. The layouts are those of <mach-o/loader.h> and
<mach-o/fat.h>; the code signature's are those of XNU's <kern/cs_blobs.h>.
"""

import hashlib
import re
import struct
import sys

# What macOS has in libSystem since 11.0 or longer. Nearly all are documented in its manual
# pages; `dyld_stub_binder` is the linker's choice, `___bzero` the compiler's, and
# `_close$NOCANCEL` the libc crate's, as in every Rust program for Intel.
ALLOWED = set(
    """
    __NSGetEnviron ___bzero ___error _access _bzero _clock_gettime _close _close$NOCANCEL _connect _dladdr _exit __exit _fcntl
    _freeaddrinfo _fstat _fstat$INODE64 _getaddrinfo _getnameinfo _getpid
    _getsegmentdata _getsockopt _memcmp _memcpy _memmove _memset _mmap _mprotect _open _poll _pread
    _pthread_self _pthread_setcancelstate _pthread_sigmask _recv _select _select$1050 _send _sigaction
    _setenv _setsockopt _socket _stat _stat$INODE64 _strlen _unsetenv _write dyld_stub_binder
    """.split()
)
LIBSYSTEM = "/usr/lib/libSystem.B.dylib"
# They mark the start of the image, and are in every image that this linker makes.
LINKERS_OWN = {"__mh_dylib_header", "___dso_handle"}

CPUS = {0x0100000C: "arm64", 0x01000007: "x86_64"}
MH_DYLIB = 6
LC_SEGMENT_64, LC_SYMTAB, LC_ID_DYLIB, LC_LOAD_DYLIB = 0x19, 0x2, 0xD, 0xC
LC_LOAD_WEAK_DYLIB, LC_REEXPORT_DYLIB = 0x80000018, 0x8000001F
LC_DYLD_INFO_ONLY, LC_BUILD_VERSION, LC_CODE_SIGNATURE = 0x80000022, 0x32, 0x1D
PLATFORM_MACOS = 1
N_STAB, N_TYPE, N_EXT, N_UNDF = 0xE0, 0x0E, 0x01, 0x0


def fail(slice_name, what):
    sys.exit(f"macos_inspect: {slice_name}: {what}")


def text_at(data, start):
    return data[start : data.index(b"\0", start)].decode()


def slices(data):
    """The thin files of a fat one, by the name of their processor."""
    magic, count = struct.unpack_from(">II", data)
    if magic != 0xCAFEBABE:
        sys.exit("macos_inspect: not a fat file")
    for number in range(count):
        cpu, _, offset, size, _ = struct.unpack_from(">5I", data, 8 + 20 * number)
        yield CPUS[cpu], data[offset : offset + size]


def uleb(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


class Image:
    def __init__(self, name, data):
        self.name, self.data = name, data
        magic, _, _, self.kind, count, _, _, _ = struct.unpack_from("<8I", data)
        if magic != 0xFEEDFACF:
            fail(name, "not a thin 64-bit little-endian file")
        self.segments, self.sections, self.needed = [], {}, []
        self.install_name = self.minimum = self.dyld_info = self.signature = None
        at = 32
        for _ in range(count):
            command, size = struct.unpack_from("<II", data, at)
            self.read_command(command, at)
            at += size

    def read_command(self, command, at):
        data = self.data
        if command == LC_SEGMENT_64:
            segment, address, size, offset = struct.unpack_from("<16sQQQ", data, at + 8)
            self.segments.append((address, size, offset))
            for number in range(struct.unpack_from("<I", data, at + 64)[0]):
                section = struct.unpack_from("<16s16sQQI", data, at + 72 + 80 * number)
                name = section[0].rstrip(b"\0").decode()
                self.sections[segment.rstrip(b"\0").decode(), name] = section[2:]
        elif command == LC_SYMTAB:
            self.symtab = struct.unpack_from("<4I", data, at + 8)
        elif command in (LC_LOAD_DYLIB, LC_LOAD_WEAK_DYLIB, LC_REEXPORT_DYLIB):
            self.needed.append(text_at(data, at + struct.unpack_from("<I", data, at + 8)[0]))
        elif command == LC_ID_DYLIB:
            self.install_name = text_at(data, at + struct.unpack_from("<I", data, at + 8)[0])
        elif command == LC_DYLD_INFO_ONLY:
            self.dyld_info = struct.unpack_from("<10I", data, at + 8)
        elif command == LC_BUILD_VERSION:
            platform, version = struct.unpack_from("<II", data, at + 8)
            if platform != PLATFORM_MACOS:
                fail(self.name, f"built for platform {platform}, not for macOS")
            self.minimum = f"{version >> 16}.{version >> 8 & 0xFF}"
        elif command == LC_CODE_SIGNATURE:
            self.signature = struct.unpack_from("<II", data, at + 8)

    def words(self, segment, section):
        """The pointers of a section, by their address."""
        address, size, offset = self.sections[segment, section]
        values = struct.unpack_from(f"<{size // 8}Q", self.data, offset)
        return {address + 8 * number: value for number, value in enumerate(values)}

    def symbols(self):
        """Names, and whether the symbol is exported (`None`: undefined)."""
        start, count, strings, _ = self.symtab
        for number in range(count):
            name, kind, _, _, _ = struct.unpack_from("<IBBHQ", self.data, start + 16 * number)
            if not kind & N_STAB:
                undefined = kind & N_TYPE == N_UNDF
                yield text_at(self.data, strings + name), None if undefined else bool(kind & N_EXT)

    def rebased(self):
        """Where dyld adds the address at which the image was loaded."""
        start, size = self.dyld_info[0:2]
        at, end, address, places = start, start + size, 0, set()
        while at < end:
            opcode, low = self.data[at] & 0xF0, self.data[at] & 0x0F
            at += 1
            times, gap = 1, 0
            if opcode == 0x20:
                offset, at = uleb(self.data, at)
                address = self.segments[low][0] + offset
            elif opcode == 0x30:
                offset, at = uleb(self.data, at)
                address += offset
            elif opcode == 0x40:
                address += 8 * low
            elif opcode >= 0x50:
                if opcode == 0x50:
                    times = low
                elif opcode in (0x60, 0x80):
                    times, at = uleb(self.data, at)
                if opcode in (0x70, 0x80):
                    gap, at = uleb(self.data, at)
                for _ in range(times):
                    places.add(address)
                    address += 8 + gap
        return places

    def bound(self):
        """Where dyld puts the address of which library's symbol."""
        start, size = self.dyld_info[2:4]
        at, end, address, library, symbol, places = start, start + size, 0, 0, "", {}
        while at < end:
            opcode, low = self.data[at] & 0xF0, self.data[at] & 0x0F
            at += 1
            if opcode == 0x10:
                library = low
            elif opcode == 0x20:
                library, at = uleb(self.data, at)
            elif opcode == 0x30:
                library = -low
            elif opcode == 0x40:
                symbol = text_at(self.data, at)
                at += len(symbol) + 1
            elif opcode == 0x70:
                offset, at = uleb(self.data, at)
                address = self.segments[low][0] + offset
            elif opcode == 0x80:
                offset, at = uleb(self.data, at)
                address = (address + offset) % 2**64
            elif opcode >= 0x90:
                times = gap = 0
                if opcode == 0xA0:
                    gap, at = uleb(self.data, at)
                elif opcode == 0xB0:
                    gap = 8 * low
                elif opcode == 0xC0:
                    times, at = uleb(self.data, at)
                    gap, at = uleb(self.data, at)
                for _ in range(max(times, 1)):
                    needed = self.needed[library - 1] if library > 0 else None
                    places[address] = (needed, symbol)
                    address = (address + 8 + gap) % 2**64
        return places


def check_dylib(image, minimum):
    if image.kind != MH_DYLIB:
        fail(image.name, "not a dynamic library")
    if image.install_name != "@rpath/librampart.dylib":
        fail(image.name, f"its install name is {image.install_name}")
    if image.needed != [LIBSYSTEM]:
        fail(image.name, f"it needs {image.needed}")
    if image.minimum != minimum:
        fail(image.name, f"it is for macOS {image.minimum} and newer, not {minimum}")
    initialisers = [key for key in image.sections if key[1] == "__mod_init_func"]
    if [image.sections[key][1] for key in initialisers] != [8]:
        fail(image.name, "it has not exactly one initialiser")


def check_table(image, declared):
    tuples = image.words("__DATA", "__interpose")
    rebased, bound = image.rebased(), image.bound()
    start, size, _ = image.sections["__TEXT", "__text"]
    replacements, replacees = [], []
    for number, (address, value) in enumerate(tuples.items()):
        if number % 2 == 0:
            if address not in rebased or not start <= value < start + size:
                fail(image.name, f"the replacement at {address:#x} is not in the library")
            replacements.append(value)
        else:
            library, symbol = bound.get(address, (None, None))
            if library != LIBSYSTEM:
                fail(image.name, f"the replacee at {address:#x} is not bound to libSystem")
            replacees.append(symbol.removeprefix("_"))
    if sorted(replacees) != sorted(declared):
        fail(image.name, f"the table has {sorted(replacees)}, declared are {sorted(declared)}")
    # A variant of a function may have its replacement.
    if len(set(replacements)) < sum("$" not in name for name in declared):
        fail(image.name, "two functions have the same replacement")


def check_symbols(image, declared):
    undefined, exported = set(), set()
    for name, is_exported in image.symbols():
        if is_exported is None:
            undefined.add(name)
        elif is_exported:
            exported.add(name)
    strange = undefined - ALLOWED - {"_" + name for name in declared}
    if strange:
        fail(image.name, f"not known to be in every macOS: {sorted(strange)}")
    if exported - LINKERS_OWN:
        fail(image.name, f"it exports {sorted(exported - LINKERS_OWN)}")
    return len(undefined)


def check_signature(image):
    """An arm64 Mac runs nothing unsigned; without an identity (ad hoc) is enough."""
    if image.signature is None:
        if image.name == "arm64":
            fail(image.name, "it is not signed")
        return "not signed"
    start, _ = image.signature
    count = struct.unpack_from(">I", image.data, start + 8)[0]
    for number in range(count):
        kind, offset = struct.unpack_from(">II", image.data, start + 12 + 8 * number)
        if kind == 0:
            return check_code_directory(image, start + offset)
    return fail(image.name, "its signature has no code directory")


def check_code_directory(image, at):
    flags, hashes, _, _, pages, limit = struct.unpack_from(">6I", image.data, at + 12)
    hash_size, hash_kind, _, page_shift = struct.unpack_from(">4B", image.data, at + 36)
    if not flags & 0x2 or (hash_kind, hash_size) != (2, 32):
        fail(image.name, f"it is not signed ad hoc with SHA-256 (flags {flags:#x})")
    page = 1 << page_shift
    for number in range(pages):
        content = image.data[number * page : min((number + 1) * page, limit)]
        place = at + hashes + 32 * number
        if hashlib.sha256(content).digest() != image.data[place : place + 32]:
            fail(image.name, f"its signature does not fit page {number}")
    return f"signed ad hoc, {pages} pages"


def main():
    path, table, minimum = sys.argv[1:]
    with open(table, encoding="utf-8") as source:
        declared = re.findall(r"^    +fn (\w+)\(.* for [\w:]+;$", source.read(), re.MULTILINE)
    # Variants of a function, which have a name that no source can have.
    declared = [re.sub("_(NOCANCEL|DARWIN_EXTSN)$", r"$\1", name) for name in declared]
    with open(path, "rb") as file:
        images = {name: Image(name, data) for name, data in slices(file.read())}
    if sorted(images) != ["arm64", "x86_64"]:
        sys.exit(f"macos_inspect: the slices are {sorted(images)}")
    for image in images.values():
        check_dylib(image, minimum)
        check_table(image, declared)
        undefined = check_symbols(image, declared)
        signature = check_signature(image)
        loaded = sum(size for _, size, _ in image.sections.values())
        print(
            f"{image.name}: {len(declared)} hooks, {undefined} symbols of libSystem, {signature}, "
            f"{loaded} bytes loaded, {len(image.data)} with symbols"
        )


main()
