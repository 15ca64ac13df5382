//! Maps for what is looked up with every event. The hasher is a fast one with a random seed, as
//! the keys come from files that anybody may have written.

use std::collections::HashMap;

/// A map that is looked into with every event.
pub(crate) type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
