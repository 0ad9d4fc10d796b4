//! Tokens in place of kernel addresses: where the kernel keeps its memory is nobody's business who reads a recording.

use std::hash::{BuildHasher, RandomState};

/// What an address of this recording is called. One token for one address: a Feistel network over the lower 48 bits, keyed
/// anew for each recording. The upper 16 are all ones in every kernel address of the usual layouts.
#[derive(Debug, Clone)]
pub(super) struct Veil(RandomState);

const HALF: u32 = 24;
const MASK: u64 = (1 << HALF) - 1;
const ROUNDS: u8 = 4;

impl Veil {
    pub(super) fn new() -> Self {
        Self(RandomState::new())
    }

    /// The token of an address; 0 stays 0, and no other becomes it.
    pub(super) fn token(&self, addr: u64) -> u64 {
        if addr == 0 {
            return 0;
        }
        let mut token = addr ^ (0xffff << (2 * HALF));
        loop {
            token = self.permute(token);
            if token != 0 {
                return token;
            }
        }
    }

    fn permute(&self, number: u64) -> u64 {
        let (mut left, mut right) = (number >> HALF & MASK, number & MASK);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.0.hash_one((round, right)) & MASK);
        }
        number & !(MASK << HALF | MASK) | left << HALF | right
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_address_has_a_token_of_its_own_that_says_nothing_of_it() {
        let veil = Veil::new();
        let addresses = (0..100_000_u64).map(|slot| 0xffff_8881_0000_0000 + slot * 64);
        let tokens: HashSet<u64> = addresses.clone().map(|addr| veil.token(addr)).collect();
        assert_eq!(tokens.len(), 100_000);
        assert!(tokens.iter().all(|&token| token != 0 && token >> 48 == 0));
        let near = addresses
            .clone()
            .zip(addresses.skip(1))
            .filter(|&(one, next)| veil.token(next).wrapping_sub(veil.token(one)) == 64);
        assert!(near.count() < 10);
        assert_eq!(veil.token(0), 0);
    }

    #[test]
    fn another_recording_has_other_tokens() {
        let addr = 0xffff_8881_0123_4500;
        assert_ne!(Veil::new().token(addr), Veil::new().token(addr));
    }
}
