//! Where the batches of a file lie: from its index, or rebuilt from the batches themselves.
