//! Randomness as an argument, so that a test can fix it.

use std::{fmt::Debug, time::Duration};

/// A source of random numbers.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Returns 16 random bytes.
    fn bytes(&self) -> [u8; 16];

    /// Returns a random number of at least 0.0 and less than 1.0.
    fn unit(&self) -> f64 {
        let [a, b, c, d, ..] = self.bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
    }

    /// Returns a random duration from zero to `max` ("full jitter").
    fn jitter(&self, max: Duration) -> Duration {
        max.mul_f64(self.unit())
    }

    /// Returns 16 random bytes in hexadecimal, for a unique id.
    fn hex_id(&self) -> String {
        hex::encode(self.bytes())
    }
}

/// Returns the 32 hexadecimal digits of an id.
pub fn hex_digits(id: [u8; 16]) -> [u8; 32] {
    let mut digits = [b'0'; 32];
    // Cannot fail: there are two digits for each byte.
    let _ = hex::encode_to_slice(id, &mut digits);
    digits
}

/// The thread's cryptographic generator, seeded by the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn bytes(&self) -> [u8; 16] {
        // One number: an array would be made byte by byte.
        rand::random::<u128>().to_ne_bytes()
    }
}

/// A source for tests that always returns the same byte.
#[cfg(any(test, feature = "test-util"))]
#[derive(Debug, Clone, Copy)]
pub struct FixedEntropy(pub u8);

#[cfg(any(test, feature = "test-util"))]
impl Entropy for FixedEntropy {
    fn bytes(&self) -> [u8; 16] {
        [self.0; 16]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_stays_below_one() {
        assert_eq!(FixedEntropy(0).unit().to_bits(), 0.0_f64.to_bits());
        assert!((0.99..1.0).contains(&FixedEntropy(u8::MAX).unit()));
        assert!(FixedEntropy(u8::MAX).jitter(Duration::from_secs(1)) <= Duration::from_secs(1));
    }
}
