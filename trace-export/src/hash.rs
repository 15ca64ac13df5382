//! Maps for lookups with every event. The hasher is fast and has a random seed, because the keys
//! come from files that anybody may have written.

use std::collections::HashMap;

/// A map for lookups with every event.
pub(crate) type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
