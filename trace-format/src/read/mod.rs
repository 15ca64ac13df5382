//! From bytes back to events.
