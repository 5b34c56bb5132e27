//! Where a file is cut into pieces: a Rabin fingerprint over the last bytes, as restic's design describes it.
//!
//! `rustic_core` makes one [`Rabin64`] for every file it reads, and the crate of this name that it is made for calculates two
//! tables for each: for small files that took more time than all else of an export. This one stands in its place, calculates
//! the tables of a repository's polynomial once, and cuts at the very same bytes; what is in a repository already is found again.
//!
//! Deliberately absent: everything of that crate that `rustic_core` does not call.

use std::sync::{Arc, Mutex, PoisonError};

/// A polynomial over the field of two elements: bit `n` is the coefficient of the power `n`.
pub type Polynom64 = u64;

pub trait Polynom {
    /// -1 for zero.
    fn degree(&self) -> i32;

    /// What is left after division by `divisor`, which must not be zero.
    #[must_use]
    fn modulo(&self, divisor: &Self) -> Self;
}

impl Polynom for Polynom64 {
    #[inline]
    fn degree(&self) -> i32 {
        63 - self.leading_zeros() as i32
    }

    fn modulo(&self, divisor: &Self) -> Self {
        let mut rest = *self;
        while rest.degree() >= divisor.degree() {
            rest ^= divisor << (rest.degree() - divisor.degree());
        }
        rest
    }
}

pub trait RollingHash64 {
    /// Forgets everything and takes in all but one of the bytes that the window holds, or what there is. How many it took.
    fn reset_and_prefill_window<I: Iterator<Item = u8>>(&mut self, bytes: &mut I) -> usize;

    /// Takes in one byte and leaves out the oldest of the window.
    fn slide(&mut self, byte: u8);
}

/// The window is never larger than this.
const LARGEST_WINDOW: usize = 64;

/// The remainder of the last bytes, read as one polynomial, by the repository's own.
#[derive(Clone, Debug)]
pub struct Rabin64 {
    tables: Arc<Tables>,
    window: [u8; LARGEST_WINDOW],
    next: usize,
    pub hash: Polynom64,
}

/// What takes too long to be calculated byte by byte, and too long to be calculated file by file.
#[derive(Debug)]
struct Tables {
    window_bits: u32,
    polynomial: Polynom64,
    /// What a byte adds to the hash when it is the oldest of the window.
    oldest: [Polynom64; 256],
    /// What takes the byte above the polynomial's degree away, and puts in its remainder.
    above: [Polynom64; 256],
}

/// One process writes to one repository, as a rule.
static LATEST: Mutex<Option<Arc<Tables>>> = Mutex::new(None);

impl Tables {
    fn of(window_bits: u32, polynomial: Polynom64) -> Arc<Self> {
        let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some(tables) if (tables.window_bits, tables.polynomial) == (window_bits, polynomial) => tables.clone(),
            _ => latest.insert(Arc::new(Self::calculate(window_bits, polynomial))).clone(),
        }
    }

    fn calculate(window_bits: u32, polynomial: Polynom64) -> Self {
        let (mut oldest, mut above) = ([0; 256], [0; 256]);
        for byte in 0..=u8::MAX {
            let mut hash = Polynom64::from(byte).modulo(&polynomial);
            for _ in 1..1 << window_bits {
                hash = (hash << 8).modulo(&polynomial);
            }
            oldest[usize::from(byte)] = hash;
            let shifted = Polynom64::from(byte) << polynomial.degree();
            above[usize::from(byte)] = shifted.modulo(&polynomial) | shifted;
        }
        Self { window_bits, polynomial, oldest, above }
    }
}

impl Rabin64 {
    /// A window of two to the power of `window_bits` bytes, 64 at most, and a polynomial of a degree between 8 and 55.
    #[must_use]
    pub fn new_with_polynom(window_bits: u32, polynomial: &Polynom64) -> Self {
        assert!(1usize << window_bits <= LARGEST_WINDOW, "the window is too large");
        assert!((8..=55).contains(&polynomial.degree()), "the polynomial's degree is out of range");
        Self { tables: Tables::of(window_bits, *polynomial), window: [0; LARGEST_WINDOW], next: 0, hash: 0 }
    }

    #[inline]
    fn add(&mut self, byte: u8) {
        let tables = &*self.tables;
        self.window[self.next % LARGEST_WINDOW] = byte;
        self.next = (self.next + 1) & ((1 << tables.window_bits) - 1);
        let above = (self.hash >> (tables.polynomial.degree() - 8)) as u8;
        self.hash = (self.hash << 8 | Polynom64::from(byte)) ^ tables.above[usize::from(above)];
    }
}

impl RollingHash64 for Rabin64 {
    fn reset_and_prefill_window<I: Iterator<Item = u8>>(&mut self, bytes: &mut I) -> usize {
        (self.window, self.next, self.hash) = ([0; LARGEST_WINDOW], 0, 0);
        let all_but_one = (1 << self.tables.window_bits) - 1;
        let mut taken = 0;
        for byte in bytes.take(all_but_one) {
            self.add(byte);
            taken += 1;
        }
        taken
    }

    #[inline]
    fn slide(&mut self, byte: u8) {
        let oldest = self.window[self.next % LARGEST_WINDOW];
        self.hash ^= self.tables.oldest[usize::from(oldest)];
        self.add(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository's own, of degree 53 as restic makes them.
    const POLYNOMIAL: Polynom64 = 0x003D_A335_8B4D_C173;

    /// Byte by byte, as the design says it.
    fn plainly(bytes: &[u8], polynomial: Polynom64) -> Polynom64 {
        bytes.iter().fold(0, |hash, byte| ((hash << 8) | Polynom64::from(*byte)).modulo(&polynomial))
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn the_hash_is_the_remainder_of_what_is_in_the_window_and_of_nothing_before_it() {
        let bytes = noise(1000);
        for (bits, polynomial) in [(6, POLYNOMIAL), (5, POLYNOMIAL), (6, 0x0021_0000_0000_0005), (6, POLYNOMIAL)] {
            let window = 1usize << bits;
            let mut hash = Rabin64::new_with_polynom(bits, &polynomial);
            for start in [0, 300] {
                let taken = hash.reset_and_prefill_window(&mut bytes[start..].iter().copied());
                assert_eq!(taken, window - 1);
                for end in start + taken..start + 500 {
                    hash.slide(bytes[end]);
                    assert_eq!(hash.hash, plainly(&bytes[end + 1 - window..=end], polynomial), "{bits} {start} {end}");
                }
            }
        }
    }

    #[test]
    fn a_file_shorter_than_the_window_is_taken_in_as_it_is() {
        let mut hash = Rabin64::new_with_polynom(6, &POLYNOMIAL);
        assert_eq!(hash.reset_and_prefill_window(&mut [7, 8, 9].into_iter()), 3);
        assert_eq!(hash.hash, plainly(&[7, 8, 9], POLYNOMIAL));
    }
}
