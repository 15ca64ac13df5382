//! What tests encode: `sample`, a profile. The tests of the command use it as well.

#![allow(dead_code, reason = "every test uses a part of it")]

pub(crate) mod sample;
