//! What to ask a policy server before a program starts, how to ask it, and what
//! the answer means.
#![cfg_attr(not(test), no_std)]
