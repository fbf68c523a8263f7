//! Makes the [`State`] from the environment that the process was started with.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use rampart_core::arena::{Arena, Decimal, Full};
use rampart_core::command;
use rampart_core::environ::{self, Found, Guard};
use rampart_core::host::Os;
use rampart_core::request::{Asker, Preamble, PreambleError};
use rampart_core::run_files;
use rampart_core::settings::{Mode, Notice, Refusal, Settings, Variable};
use rampart_core::url::{self, MAX_URLS, Server, Url, Urls};

use crate::missed::Missed;
use crate::os::sys::{self, Address};
use crate::os::{self, Real};
use crate::standard_error::StandardError;
use crate::state::{Addresses, ClientConfig, State};
use crate::{errno, readable, report, resolver};

/// The `RAMPART_ADDRESS` of children if the name could not be resolved: they need not try again.
const UNRESOLVED: &[u8] = b"unresolved";

const TOO_LONG: &str = "the RAMPART_* variables and the preload list are too long";

/// Memory for the state.
pub struct StateMemory {
    /// The state itself.
    pub state: &'static mut MaybeUninit<State>,
    /// The server's addresses, which are too large to be moved on the stack.
    pub addresses: &'static mut MaybeUninit<Addresses>,
    /// Room for the strings that the state points to.
    pub memory: &'static mut [u8],
    /// Whether there is no larger memory to try.
    pub is_last: bool,
}

/// Reads the state of this process from its environment, and reports it. `None` if it does not fit
/// and there is a larger memory to try; in the last one the state holds the error.
#[inline(never)]
pub fn read(room: StateMemory) -> Option<&'static State> {
    let errno = errno::Saved::new();
    // SAFETY: `environ` is NULL or an array of strings that ends with NULL (environ(7)). Nothing
    // changes it before this returns, and what the state keeps is copied.
    let found: Found<'_> = unsafe { environ::read(Os::HERE, os::environment()) };
    let settings = Settings::read(|variable| found.variable(variable));
    let StateMemory { state, addresses, memory, is_last } = room;
    let room = Room { arena: Arena::new(memory), addresses };
    let state = &*make(state, &settings, &found, room);
    let fits = is_last || !matches!(state.client, Err(TOO_LONG));
    if fits {
        report::load(state, &settings);
    }
    errno.restore();
    fits.then_some(state)
}

/// Memory for what the state points to.
struct Room {
    arena: Arena<'static>,
    addresses: &'static mut MaybeUninit<Addresses>,
}

/// Not inlined: its frame is the largest, and the reports after it need not stand on it.
#[inline(never)]
fn make<'s>(
    state: &'s mut MaybeUninit<State>,
    settings: &Settings<'_>,
    found: &Found<'_>,
    room: Room,
) -> &'s mut State {
    if is_in_valgrind(found.preload.unwrap_or_default()) {
        readable::try_none();
    }
    let real = Real::find();
    let pid = sys::getpid();
    let mark = settings.sealed.and_then(Decimal::parse).filter(|mark| sys::is_sealed(*mark));
    let is_sealed = mark.is_some();
    // Monitor mode does not wait for decisions; in a sealed run the kernel's question waits, if it is
    // the only one.
    let waits = settings.mode == Mode::Enforce && (!is_sealed || real.is_wrapped);
    let ask_ms = settings.ask_ms.filter(|_| waits);
    state.write(State {
        mode: settings.mode,
        fail_open: settings.fail_open,
        debug: settings.debug,
        notice: settings.notice,
        // In a sealed run nothing runs unchecked, so there is nothing to count.
        missed: match (settings.mode, settings.notice) {
            (Mode::Enforce | Mode::Monitor, Notice::Everything) if !is_sealed => Missed::new(&real),
            _ => Missed::UNCOUNTED,
        },
        refusal: settings.refusal,
        timeout_ms: settings.timeout_ms,
        ask_ms: ask_ms.unwrap_or(0),
        mark: mark.unwrap_or(0),
        repairs: found.repairs,
        pid,
        stderr: StandardError::here(pid),
        client: match settings.mode {
            // No server is asked, so that no name is resolved either.
            Mode::Disabled => Err("disabled"),
            Mode::Enforce | Mode::Monitor => {
                client(settings, found.preload.unwrap_or_default(), pid, ask_ms, room)
            }
        },
        real,
    })
}

/// Whether valgrind has put its own library into the preload list.
fn is_in_valgrind(preload: &[u8]) -> bool {
    let mut libraries = Os::HERE.libraries(preload);
    libraries.any(|library| command::last_component(library).starts_with(b"vgpreload_core"))
}

fn client(
    settings: &Settings<'_>,
    preload: &[u8],
    pid: i32,
    ask_ms: Option<u32>,
    room: Room,
) -> Result<ClientConfig, &'static str> {
    let Room { mut arena, addresses } = room;
    let arena = &mut arena;
    let urls = Urls::parse(settings.url).map_err(|error| error.0)?;
    let own_session = Decimal::new(u64::from(pid.unsigned_abs()));
    let session = match settings.session {
        Some(inherited) => arena.join(&[inherited]),
        None => arena.join(&[b"preload-", own_session.as_bytes()]),
    };
    let session = session.map_err(|Full| TOO_LONG)?;
    let asker = Asker { agent: settings.agent, session, token: settings.token, ask_ms };
    let preamble = Preamble::new(&urls.first, &asker, arena).map_err(|error| match error {
        PreambleError::Token => "RAMPART_TOKEN holds a byte that is not visible ASCII",
        PreambleError::TooLong => TOO_LONG,
    })?;
    let mut resolved = None;
    let addresses = addresses.write([None; MAX_URLS]);
    for (address, url) in addresses.iter_mut().zip(urls.iter()) {
        *address = match url.server {
            Server::Address(address) => Some(Address::tcp(address)),
            Server::Unix(path) => Address::unix(path),
            Server::Abstract(name) => Address::abstract_unix(name),
            Server::Name { host, port } => {
                let text = settings.address.or_else(|| resolver::resolve(host, port, arena));
                let text = text.unwrap_or(UNRESOLVED);
                resolved = Some(text);
                url::parse_address(text).map(Address::tcp)
            }
        };
    }
    let settings = Settings { session: Some(session), address: resolved, ..*settings };
    let spare = spare(&urls.first, arena).map_err(|Full| TOO_LONG)?;
    let guard = guard(&settings, preload, spare, arena).map_err(|Full| TOO_LONG)?;
    Ok(ClientConfig { addresses, preamble, guard })
}

/// The entries that children must have: the values that this process uses, defaults included.
fn guard(
    settings: &Settings<'_>,
    preload: &[u8],
    spare: Option<&'static CStr>,
    arena: &mut Arena<'static>,
) -> Result<Guard<'static>, Full> {
    let flag = |on: bool| Some(if on { &b"1"[..] } else { b"0" });
    let mut variables = [None; Variable::ALL.len()];
    for (variable, entry) in Variable::ALL.into_iter().zip(&mut variables) {
        let value = match variable {
            Variable::Url => Some(settings.url),
            Variable::Token => settings.token,
            Variable::Mode => Some(settings.mode.as_str().as_bytes()),
            Variable::FailOpen => flag(settings.fail_open),
            Variable::Agent => Some(settings.agent),
            Variable::Session => settings.session,
            // Here and below: the default adds no variable to the environment.
            Variable::Debug if !settings.debug => None,
            Variable::Debug => flag(true),
            Variable::Notice => settings.notice.value(),
            Variable::TimeoutMs if settings.timeout_ms == Settings::DEFAULT_TIMEOUT_MS => None,
            Variable::TimeoutMs => {
                *entry = Some(number(variable, settings.timeout_ms, arena)?);
                None
            }
            Variable::Address => settings.address,
            Variable::Sealed => settings.sealed,
            Variable::Refusal if settings.refusal == Refusal::Errno => None,
            Variable::Refusal => Some(settings.refusal.as_str().as_bytes()),
            Variable::AskMs => {
                *entry = settings.ask_ms.map(|ms| number(variable, ms, arena)).transpose()?;
                None
            }
        };
        if let Some(value) = value {
            *entry = Some(string(&[variable.name().to_bytes(), b"=", value], arena)?);
        }
    }
    let (library, library_as_given) = library(preload, arena)?;
    let here = Os::HERE;
    let entry = arena
        .write(|text| environ::write_preload(here, preload, library, library_as_given, text))?;
    let preload = CStr::from_bytes_with_nul(entry).map_err(|_| Full)?;
    let listing = os::listing_variable();
    Ok(Guard { os: here, variables, preload, library, library_as_given, spare, listing })
}

/// The path of the copy of the library that the server of this run keeps, if it is a run's own.
fn spare(url: &Url<'_>, arena: &mut Arena<'static>) -> Result<Option<&'static CStr>, Full> {
    let Server::Unix(socket) = url.server else { return Ok(None) };
    let Some(directory) = run_files::directory(socket) else { return Ok(None) };
    string(&[directory, run_files::SPARE_LIBRARY.as_bytes()], arena).map(Some)
}

/// The entry of a variable that is a number. Not inlined, to keep the caller's frame small.
#[inline(never)]
fn number(
    variable: Variable,
    number: u32,
    arena: &mut Arena<'static>,
) -> Result<&'static CStr, Full> {
    let digits = Decimal::new(u64::from(number));
    string(&[variable.name().to_bytes(), b"=", digits.as_bytes()], arena)
}

fn string(pieces: &[&[u8]], arena: &mut Arena<'static>) -> Result<&'static CStr, Full> {
    let text = arena.write(|text| {
        pieces.iter().try_for_each(|piece| text.push(piece))?;
        text.push(b"\0")
    })?;
    CStr::from_bytes_with_nul(text).map_err(|_| Full)
}

/// The absolute path of this library, and the path in the preload list.
fn library(
    preload: &[u8],
    arena: &mut Arena<'static>,
) -> Result<(&'static [u8], &'static [u8]), Full> {
    let name = os::library_file().ok_or(Full)?.to_bytes();
    let mut given = Os::HERE.libraries(preload);
    let given = given.find(|given| command::last_component(given) == command::last_component(name));
    let given = arena.join(&[given.unwrap_or(name)])?;
    if name.starts_with(b"/") {
        return Ok((name, given));
    }
    Ok((absolute(name, arena)?, given))
}

/// The absolute path for a relative one: children may be started in another directory.
fn absolute(name: &[u8], arena: &mut Arena<'static>) -> Result<&'static [u8], Full> {
    arena.write(|text| {
        text.push_with(|room| Some(sys::working_directory(room)?.len()))?;
        text.push(b"/")?;
        text.push(name.strip_prefix(b"./").unwrap_or(name))
    })
}
