//! The hooks.
