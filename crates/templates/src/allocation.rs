//! What the allocator takes for a value, beside the value.

/// Returns what the allocator takes for so many bytes: 8 more, in steps of 16, at least 32; nothing for none.
pub fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// Returns what the allocator takes for so many bytes in an `Arc`, which counts its owners in 16 more.
pub fn shared_block(bytes: usize) -> usize {
    block(16 + bytes)
}
