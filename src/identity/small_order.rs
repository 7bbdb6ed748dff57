//! The Ed25519 keys for which anybody can sign.

/// RFC 8032 §5.1.5.
const KEY_BYTES: usize = 32;

/// The `y` of every point of edwards25519 whose order divides 8, without the sign bit of `x`, as libsodium lists them
/// (`ge25519_has_small_order` in `ed25519_ref10.c`). The last two are 0 and 1 again, not reduced modulo the prime.
/// For such a key a signature with `S` = 0 is valid for many messages: the verification of RFC 8032 §5.1.7 and
/// aws-lc do not exclude it.
pub(super) const SMALL_ORDER_POINTS: [[u8; KEY_BYTES]; 7] = [
    with_ends(0x00, 0x00, 0x00),
    with_ends(0x01, 0x00, 0x00),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    with_ends(0xec, 0xff, 0x7f),
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
];

/// Returns the first byte, the last byte, and the same byte between them.
const fn with_ends(first: u8, between: u8, last: u8) -> [u8; KEY_BYTES] {
    let mut point = [between; KEY_BYTES];
    point[0] = first;
    point[KEY_BYTES - 1] = last;
    point
}

/// Returns whether an Ed25519 key is a point of small order.
pub(super) fn is_of_small_order(key: &[u8]) -> bool {
    let Some((last, rest)) = key.split_last() else { return false };
    SMALL_ORDER_POINTS
        .iter()
        .any(|point| point.split_last().is_some_and(|(end, start)| start == rest && *end == last & 0x7f))
}
