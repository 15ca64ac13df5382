//! What every trace begins with: the process, and its call sites.

use crate::callsite::{Callsite, cut, linked};
use crate::session::process;
use crate::sys::clock;
use trace_format::definition::Definition;

/// The definitions that a trace begins with: the process, and its call sites by id.
pub(crate) fn beginning() -> Vec<Definition<'static>> {
    let mut sites: Vec<_> = linked().collect();
    sites.sort_by_key(|site| site.id());
    let process = Definition::Process {
        pid: u64::from(std::process::id()),
        executable: cut(process::executable()),
        os: std::env::consts::OS.as_bytes(),
        arch: std::env::consts::ARCH.as_bytes(),
        clock: clock::kind(),
        tracer: env!("CARGO_PKG_VERSION").as_bytes(),
    };
    std::iter::once(process).chain(sites.into_iter().map(Callsite::definition)).collect()
}
