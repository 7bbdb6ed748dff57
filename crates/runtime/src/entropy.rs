//! Randomness, handed in, so that a test can fix it.

use std::{fmt::Debug, time::Duration};

/// A source of random numbers.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Sixteen random bytes.
    fn bytes(&self) -> [u8; 16];

    /// A number in `0.0..1.0`.
    fn unit(&self) -> f64 {
        let [a, b, c, d, ..] = self.bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
    }

    /// Full jitter: anything from nothing to `most`.
    fn up_to(&self, most: Duration) -> Duration {
        most.mul_f64(self.unit())
    }

    /// Sixteen random bytes in hexadecimal.
    fn name(&self) -> String {
        hex::encode(self.bytes())
    }
}

/// The thread's cryptographic generator, seeded by the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn bytes(&self) -> [u8; 16] {
        rand::random()
    }
}

/// Always the same byte.
#[cfg(any(test, feature = "test-util"))]
#[derive(Debug, Clone, Copy)]
pub struct FixedEntropy(pub u8);

#[cfg(any(test, feature = "test-util"))]
impl Entropy for FixedEntropy {
    fn bytes(&self) -> [u8; 16] {
        [self.0; 16]
    }
}
