//! What tests name: `program`, made by a compiler. The tests of the command use it as well.

#![allow(dead_code, reason = "every test uses a part of it")]

pub(crate) mod program;
