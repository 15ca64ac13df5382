//! One batch of bytes, judged: is it whole, and what is its payload.
