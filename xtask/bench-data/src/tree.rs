//! The tree that is measured: the same in every run. Files of all sizes, half of the bytes like text and half like images, one
//! file in twenty the same as another.

use std::fs;
use std::path::Path;

use crate::Outcome;

const FILES_IN_FOLDER: u64 = 100;

/// xorshift64*.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

pub fn make(tree: &Path, bytes: u64, files: u64) -> Outcome<()> {
    let mut numbers = Numbers(0x0B00_CE4D);
    // Each is twice as rare as those of half its size; the whole is as large as asked for.
    let weights: Vec<u64> = (0..files).map(|_| 1 << numbers.next().leading_zeros().min(9)).collect();
    let whole: u64 = weights.iter().sum();
    let mut last = Vec::new();
    for (number, weight) in weights.iter().enumerate() {
        let number = number as u64;
        let folder = tree.join(format!("folder-{}", number / FILES_IN_FOLDER));
        if number.is_multiple_of(FILES_IN_FOLDER) {
            fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let size = (u128::from(bytes) * u128::from(*weight) / u128::from(whole)) as usize;
        if number % 20 != 19 {
            last = content(&mut numbers, size, number.is_multiple_of(2));
        }
        let file = folder.join(format!("file-{number}"));
        fs::write(&file, &last).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

fn content(numbers: &mut Numbers, size: usize, text: bool) -> Vec<u8> {
    const WORDS: [&str; 8] = ["select ", "insert ", "environment ", "= ", "\"name\": ", "null, ", "\n", "volume "];
    let mut content = Vec::with_capacity(size + 16);
    while content.len() < size {
        let number = numbers.next();
        match text {
            true => {
                for part in 0..4 {
                    content.extend(WORDS[(number >> (part * 3)) as usize % 8].as_bytes());
                }
                content.extend((number >> 40).to_string().as_bytes());
            }
            false => content.extend(number.to_le_bytes()),
        }
    }
    content.truncate(size);
    content
}
