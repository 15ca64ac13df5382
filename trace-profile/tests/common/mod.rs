//! What tests name and encode: `program`, made by a compiler, and `sample`, a profile. The tests
//! of the command use these files as well.

#![allow(dead_code, reason = "every test uses a part of it")]

pub(crate) mod program;
pub(crate) mod sample;
