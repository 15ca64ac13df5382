//! Calls into the system as text: the function, and its resource.

use std::borrow::Cow;

use crate::label::escape;
use trace_format::definition::ResourceKind;
use trace_format::id::{CallId, ResourceId};
use trace_format::read::{Resource, Tables};

/// Maximum number of characters shown of a resource's name. Of a longer path the end is shown,
/// which says most.
const NAME_CHARS_MAX: usize = 120;

/// The function's name; `call 200` if only a newer version knows it.
#[must_use]
pub fn name(call: CallId) -> Cow<'static, str> {
    match call.info() {
        Some(info) => info.name.into(),
        None => format!("call {}", call.0).into(),
    }
}

/// The class of a call, as one word.
#[must_use]
pub fn class(call: CallId) -> &'static str {
    call.info().map_or("other", |info| info.class.name())
}

/// The resource of a call: `/etc/hosts (fd 3)`, `127.0.0.1:80 -> 127.0.0.1:41234 (fd 7)`,
/// `0x7f12a0`, `pid 12`. `None` if it has none.
#[must_use]
pub fn resource(tables: &Tables, id: ResourceId) -> Option<String> {
    if id == ResourceId(0) {
        return None;
    }
    Some(match tables.resources.get(&id) {
        Some(resource) => shown(resource),
        None => format!("resource {}", id.0),
    })
}

fn shown(resource: &Resource) -> String {
    let value = resource.value;
    let name = escape::plain(&resource.name, NAME_CHARS_MAX);
    let kind = match resource.kind {
        ResourceKind::Address => return address(value, &name),
        ResourceKind::Process => return format!("pid {value}"),
        ResourceKind::Thread => return format!("thread {value:#x}"),
        ResourceKind::SystemCall => return format!("system call {value}"),
        ResourceKind::File => "file",
        ResourceKind::Socket => "socket",
        ResourceKind::Pipe => "pipe",
        ResourceKind::Event => "eventfd",
        ResourceKind::PollSet => "epoll",
        ResourceKind::Timer => "timerfd",
        _ => "descriptor",
    };
    match name.as_str() {
        "" => format!("{kind} (fd {value})"),
        name => format!("{name} (fd {value})"),
    }
}

fn address(value: u64, name: &str) -> String {
    if name.is_empty() { format!("{value:#x}") } else { format!("{name} at {value:#x}") }
}
