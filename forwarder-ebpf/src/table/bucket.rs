//! The buckets of the flow cache; what stands in them is in [`forwarder_common::flow::cache`].

use forwarder_common::flow::cache::{self, Bucket as _};

use crate::kernel::{
    atomic::{or64, replace64},
    maps::{CACHE_MASK, FLOW_CACHE},
};

/// The bucket of the flow cache for `hash`.
#[inline(always)]
pub(crate) fn bucket(hash: u32) -> Option<Bucket> {
    FLOW_CACHE.get_ptr_mut(hash & CACHE_MASK.load()).map(Bucket)
}

/// The cache entries for `hash`: see [`cache`].
#[inline(always)]
pub(crate) fn load_bucket(hash: u32) -> u64 {
    bucket(hash).map_or(0, |bucket| bucket.load())
}

/// A bucket of the flow cache.
pub(crate) struct Bucket(*mut u64);

impl cache::Bucket for Bucket {
    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: an aligned word of a map value; writers replace whole words.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    fn replace(&self, old: u64, new: u64) -> bool {
        replace64(self.0, old, new)
    }

    #[inline(always)]
    fn set(&self, bits: u64) {
        or64(self.0, bits);
    }
}
