//! Covers drawn from a template's name and category: pleasant, stable, distinct, and never the same picture twice in a row.
//!
//! The category gives the colour (so a shelf reads at a glance), the name the pattern and its variation.

use leptos::prelude::*;

use super::{has_icon, icon};

const PATTERNS: u64 = 6;

/// An ornament: the title beside it says what it is.
pub fn cover(name: &str, category: &str, picture: Option<&str>) -> impl IntoView + use<> {
    let name_seed = seed(name);
    let hue = hue(seed(category), name_seed);
    let picture = picture.filter(|picture| has_icon(picture)).map(str::to_string);
    view! {
        <div class="cover" style=format!("--hue:{hue}") aria-hidden="true">
            <svg class="cover__pattern" viewBox="0 0 160 100" preserveAspectRatio="xMidYMid slice" inner_html=pattern(name_seed)>
            </svg>
            {picture.map(|picture| view! { <span class="cover__icon">{icon(&picture)}</span> })}
        </div>
    }
}

/// Cloth colours that look well with white print, in degrees of OKLCH hue.
const CLOTHS: [u64; 8] = [276, 205, 155, 20, 245, 335, 305, 180];

/// The category's cloth, a shade to either side by name.
fn hue(category_seed: u64, name_seed: u64) -> u64 {
    CLOTHS[category_seed as usize % CLOTHS.len()] + name_seed % 24 - 12
}

/// FNV-1a, stirred once more so that short names spread: the same on every machine and in every version, which a cover's
/// looks depend on.
fn seed(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3_u64));
    let stirred = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    stirred ^ (stirred >> 33)
}

fn pattern(seed: u64) -> String {
    let mut dice = Dice(seed | 1);
    match seed / 30 % PATTERNS {
        0 => books(&mut dice),
        1 => rings(&mut dice),
        2 => hills(&mut dice),
        3 => tiles(&mut dice),
        4 => rays(&mut dice),
        _ => threads(&mut dice),
    }
}

/// A small generator of its own (xorshift), so that covers never change with a library.
struct Dice(u64);

impl Dice {
    /// From `low` up to, not including, `high`.
    fn roll(&mut self, low: i64, high: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + (self.0 >> 11).cast_signed() % (high - low)
    }
    /// One of the three tints of the cover's hue.
    fn tint(&mut self) -> i64 {
        self.roll(1, 4)
    }
}

fn books(dice: &mut Dice) -> String {
    let mut shapes = String::new();
    let mut x = 12;
    while x < 140 {
        let (width, height) = (dice.roll(8, 17), dice.roll(38, 74));
        let tint = dice.tint();
        shapes +=
            &format!("<rect class='t{tint}' x='{x}' y='{}' width='{width}' height='{height}' rx='2'/>", 88 - height);
        x += width + 3;
    }
    shapes + "<rect class='t3' x='0' y='88' width='160' height='3'/>"
}

fn rings(dice: &mut Dice) -> String {
    let (x, y) = (dice.roll(30, 130), dice.roll(20, 80));
    (0..5).map(|ring| format!("<circle class='s{}' cx='{x}' cy='{y}' r='{}'/>", dice.tint(), 12 + ring * 17)).collect()
}

fn hills(dice: &mut Dice) -> String {
    (1..4)
        .map(|tint| {
            let base = 30 + tint * 16;
            let (left, middle, right) = (dice.roll(0, 26), dice.roll(0, 40), dice.roll(0, 26));
            format!(
                "<path class='t{tint}' d='M0 {} Q40 {} 80 {} T160 {} V100 H0Z'/>",
                base + left,
                base - middle / 2,
                base + middle / 2,
                base + right
            )
        })
        .collect()
}

fn tiles(dice: &mut Dice) -> String {
    let mut shapes = String::new();
    for row in 0..4 {
        for column in 0..7 {
            if dice.roll(0, 5) < 3 {
                let tint = dice.tint();
                let (x, y) = (column * 24 - 2, row * 26);
                shapes += &format!("<rect class='t{tint}' x='{x}' y='{y}' width='20' height='22' rx='5'/>");
            }
        }
    }
    shapes
}

fn rays(dice: &mut Dice) -> String {
    let x = dice.roll(20, 140);
    (0..7)
        .map(|ray| {
            let tint = dice.tint();
            let from = ray * 32 - 30;
            format!("<path class='t{tint}' d='M{x} 104 L{from} -4 L{} -4Z'/>", from + dice.roll(8, 20))
        })
        .collect()
}

fn threads(dice: &mut Dice) -> String {
    (0..6)
        .map(|thread| {
            let (tint, y) = (dice.tint(), 10 + thread * 16);
            let (first, second) = (dice.roll(0, 50), dice.roll(0, 50));
            format!("<path class='s{tint}' d='M-4 {y} C50 {} 100 {} 164 {y}'/>", y + first - 20, y + 20 - second)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cover_is_the_same_every_time_and_differs_between_names() {
        assert_eq!(pattern(seed("scratch")), pattern(seed("scratch")));
        let drawn: std::collections::HashSet<String> =
            ["scratch", "site", "postgres", "queue", "a", "b", "c"].iter().map(|name| pattern(seed(name))).collect();
        assert_eq!(drawn.len(), 7);
    }
}
