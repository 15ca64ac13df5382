//! A trace as lines.
