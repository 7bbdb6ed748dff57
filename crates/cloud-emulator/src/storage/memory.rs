//! The memory that objects may use.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::error::StorageError;

/// A limit for the bytes held in memory.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    max_bytes: u64,
    used_bytes: AtomicU64,
}

impl MemoryBudget {
    pub(super) fn new(max_bytes: u64) -> Arc<Self> {
        Arc::new(Self { max_bytes, used_bytes: AtomicU64::new(0) })
    }
}

/// A share of a [`MemoryBudget`], returned when dropped.
#[derive(Debug)]
pub(super) struct MemoryReservation {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl MemoryReservation {
    pub(super) fn empty(budget: &Arc<MemoryBudget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), StorageError> {
        let max_bytes = self.budget.max_bytes;
        self.budget
            .used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= max_bytes)
            })
            .map_err(|_| StorageError::MemoryFull(max_bytes))?;
        self.bytes += bytes;
        Ok(())
    }

    /// Reserves the same number of bytes once more.
    pub(super) fn duplicate(&self) -> Result<Self, StorageError> {
        let mut copy = Self::empty(&self.budget);
        copy.grow(self.bytes)?;
        Ok(copy)
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
