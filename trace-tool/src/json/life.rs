//! What threads did and waited for, their calls, and the heap, for programs.

use serde::Serialize;
use trace_format::id::StackId;

use crate::places::{Place, Places};

/// A function of a stack.
#[derive(Clone, Debug, Serialize)]
pub struct FrameOut {
    function: String,
    file: Option<String>,
    line: Option<u32>,
}

impl FrameOut {
    /// What a place says.
    #[must_use]
    pub fn new(place: Place) -> Self {
        let Place { function, file, line } = place;
        Self {
            function,
            file: (!file.is_empty()).then_some(file),
            line: (line > 0).then_some(line),
        }
    }

    /// A whole stack, innermost first.
    #[must_use]
    pub fn all(places: Places<'_>, stack: StackId) -> Vec<Self> {
        places.frames(stack).iter().map(|frame| Self::new(Place::new(frame))).collect()
    }
}
