//! The code signature of a Mach-O program: whether it keeps inserted libraries out.

use super::entitlements::{self, Entitlements};
use super::window::{ReadAt, Window};

/// Magic numbers of the parts of a signature (XNU, `cs_blobs.h`).
const SUPER_BLOB: u32 = 0xfade_0cc0;
const CODE_DIRECTORY: u32 = 0xfade_0c02;
const ENTITLEMENTS: u32 = 0xfade_7171;
const ENTITLEMENTS_DER: u32 = 0xfade_7172;

/// No signature has more parts.
const MAX_BLOBS: u32 = 64;
const BLOB_HEADER_BYTES: u32 = 8;

/// Flags of a code directory (XNU, `cs_blobs.h`): dyld ignores its variables; only libraries of the
/// same team are loaded; the hardened runtime, which implies both.
const RESTRICT: u32 = 0x800;
const REQUIRE_LIBRARY_VALIDATION: u32 = 0x2000;
const RUNTIME: u32 = 0x1_0000;

/// Whether a program with the signature at this offset cannot load the library; `None` if the
/// signature is damaged.
///
/// The hardened runtime implies library validation, which refuses a library of another team
/// (Apple, "Disable Library Validation Entitlement"; ProcursusTeam/Procursus pull request 1038):
/// the entitlement for dyld's variables alone is not enough.
pub fn is_closed<File: ReadAt + ?Sized>(start: u64, window: &mut Window<'_, File>) -> Option<bool> {
    (window.big(start)? == SUPER_BLOB).then_some(())?;
    let count = window.big(start.checked_add(8)?)?;
    (count <= MAX_BLOBS).then_some(())?;
    let mut flags = 0;
    let (mut xml, mut der) = (None, None);
    let mut entry = start.checked_add(12)?;
    for _ in 0..count {
        let offset = window.big(entry.checked_add(4)?)?;
        let blob = start.checked_add(offset.into())?;
        match window.big(blob)? {
            CODE_DIRECTORY => flags |= window.big(blob.checked_add(12)?)?,
            ENTITLEMENTS => xml = Some(blob),
            ENTITLEMENTS_DER => der = Some(blob),
            _ => {}
        }
        entry = entry.checked_add(8)?;
    }
    if flags & (RESTRICT | REQUIRE_LIBRARY_VALIDATION | RUNTIME) == 0 {
        return Some(false);
    }
    // If both are there, the kernel reads the binary form.
    let granted = match (der, xml) {
        (Some(blob), _) => content(blob, window).and_then(|it| entitlements::der(it, window)),
        (None, Some(blob)) => content(blob, window).and_then(|it| entitlements::xml(it, window)),
        (None, None) => None,
    };
    // Entitlements that cannot be read grant nothing.
    let Entitlements { variables, any_library } = granted.unwrap_or_default();
    let ignores_variables = flags & (RESTRICT | RUNTIME) != 0 && !variables;
    let refuses_library = flags & (REQUIRE_LIBRARY_VALIDATION | RUNTIME) != 0 && !any_library;
    Some(ignores_variables || refuses_library)
}

/// Start and end of a blob's content.
fn content<File: ReadAt + ?Sized>(blob: u64, window: &mut Window<'_, File>) -> Option<(u64, u64)> {
    let size = window.big(blob.checked_add(4)?)?;
    let start = blob.checked_add(BLOB_HEADER_BYTES.into())?;
    Some((start, start.checked_add(size.checked_sub(BLOB_HEADER_BYTES)?.into())?))
}
