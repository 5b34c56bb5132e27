//! What a tree of files is, entry by entry, in one order that depends on nothing else: parents before children, siblings by
//! the bytes of their names. Written down it is bytes, and the digest of a tree is the digest of those bytes: an index that
//! was kept proves itself.

use std::collections::HashMap;

/// Ends up in front of every index; another number when the form changes.
const HEAD: &[u8] = b"bookend tree 1\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position of its directory. The root is its own.
    pub parent: u32,
    pub name: Vec<u8>,
    pub mode: u32,
    /// User and group as servers see them.
    pub owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub modified: (i64, u32),
    /// Digest of the user attributes; zeros when there are none.
    pub attributes: [u8; 32],
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File {
        size: u64,
        content: [u8; 32],
        /// Position of the first of the names that this file has; its own when it has but one.
        same_as: u32,
    },
    Link(Vec<u8>),
    Pipe,
    Socket,
    Device,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    pub entries: Vec<Entry>,
}

impl Index {
    /// Puts entries in order. `files` tells which entries are names of one file; positions of parents are those in `entries`,
    /// where a parent comes before what it has.
    pub fn new(entries: Vec<Entry>, files: &HashMap<u32, (u64, u64)>) -> Self {
        let mut inside: Vec<Vec<u32>> = vec![Vec::new(); entries.len()];
        for (position, entry) in entries.iter().enumerate().skip(1) {
            inside[entry.parent as usize].push(position as u32);
        }
        let mut order = Vec::with_capacity(entries.len());
        let mut pending = if entries.is_empty() { Vec::new() } else { vec![0u32] };
        while let Some(position) = pending.pop() {
            order.push(position);
            let children = &mut inside[position as usize];
            children.sort_unstable_by(|a, b| entries[*b as usize].name.cmp(&entries[*a as usize].name));
            pending.append(children);
        }
        let mut placed = vec![0u32; entries.len()];
        for (place, position) in order.iter().enumerate() {
            placed[*position as usize] = place as u32;
        }
        let mut first: HashMap<(u64, u64), u32> = HashMap::new();
        let mut slots: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
        let mut sorted = Vec::with_capacity(slots.len());
        for (place, position) in order.iter().enumerate() {
            let Some(mut entry) = slots[*position as usize].take() else { continue };
            entry.parent = placed[entry.parent as usize];
            if let Kind::File { same_as, .. } = &mut entry.kind {
                let file = files.get(position);
                *same_as = file.map_or(place as u32, |file| *first.entry(*file).or_insert(place as u32));
            }
            sorted.push(entry);
        }
        Self { entries: sorted }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        let put = |bytes: &mut Vec<u8>, text: &[u8]| {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text);
        };
        for entry in &self.entries {
            bytes.extend(entry.parent.to_le_bytes());
            put(&mut bytes, &entry.name);
            bytes.extend(entry.mode.to_le_bytes());
            bytes.extend(entry.owner.0.to_le_bytes());
            bytes.extend(entry.owner.1.to_le_bytes());
            bytes.extend(entry.modified.0.to_le_bytes());
            bytes.extend(entry.modified.1.to_le_bytes());
            bytes.extend(entry.attributes);
            match &entry.kind {
                Kind::Directory => bytes.push(b'd'),
                Kind::File { size, content, same_as } => {
                    bytes.push(b'f');
                    bytes.extend(size.to_le_bytes());
                    bytes.extend(content);
                    bytes.extend(same_as.to_le_bytes());
                }
                Kind::Link(target) => {
                    bytes.push(b'l');
                    put(&mut bytes, target);
                }
                Kind::Pipe => bytes.push(b'p'),
                Kind::Socket => bytes.push(b's'),
                Kind::Device => bytes.push(b'b'),
            }
        }
        bytes
    }

    /// `None` when that is no index.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes.strip_prefix(HEAD)?);
        let mut entries = Vec::new();
        while !rest.0.is_empty() {
            let parent = rest.number32()?;
            if parent as usize > entries.len().saturating_sub(1) {
                return None;
            }
            let name = rest.text()?;
            let mode = rest.number32()?;
            let owner = (rest.number32()?, rest.number32()?);
            let modified = (i64::from_le_bytes(rest.array()?), rest.number32()?);
            let attributes = rest.array()?;
            let [kind] = rest.array::<1>()?;
            let kind = match kind {
                b'd' => Kind::Directory,
                b'f' => Kind::File {
                    size: u64::from_le_bytes(rest.array()?),
                    content: rest.array()?,
                    same_as: rest.number32()?,
                },
                b'l' => Kind::Link(rest.text()?),
                b'p' => Kind::Pipe,
                b's' => Kind::Socket,
                b'b' => Kind::Device,
                _ => return None,
            };
            entries.push(Entry { parent, name, mode, owner, modified, attributes, kind });
        }
        Some(Self { entries })
    }

    /// Lower-case hex.
    pub fn digest(bytes: &[u8]) -> String {
        blake3::hash(bytes).to_hex().to_string()
    }

    /// For people: what is not UTF-8 is replaced, and of a long path the end is told.
    pub fn path(&self, position: u32) -> String {
        const TOLD: usize = 300;
        let mut path = String::new();
        let mut at = position as usize;
        while at != 0
            && let Some(entry) = self.entries.get(at)
        {
            if path.len() > TOLD {
                return format!("…/{path}");
            }
            let separator = if path.is_empty() { "" } else { "/" };
            path = format!("{}{separator}{path}", String::from_utf8_lossy(&entry.name));
            at = entry.parent as usize;
        }
        if path.is_empty() { ".".to_owned() } else { path }
    }

    pub fn is_directory(&self, position: u32) -> bool {
        matches!(self.entries.get(position as usize).map(|entry| &entry.kind), Some(Kind::Directory))
    }

    /// Of a file; 0 of anything else.
    pub fn size(&self, position: u32) -> u64 {
        match self.entries.get(position as usize).map(|entry| &entry.kind) {
            Some(Kind::File { size, .. }) => *size,
            _ => 0,
        }
    }

    /// The position of what has this path, its parts separated by `/`.
    pub fn find(&self, path: &[u8]) -> Option<u32> {
        let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        parts.into_iter().try_fold(0, |directory, part| {
            let children = self.entries.iter().enumerate().skip(1);
            let mut found = children.filter(|(_, entry)| entry.parent == directory && entry.name == part);
            found.next().map(|(position, _)| position as u32)
        })
    }

    /// How much the files at and below this position hold; a file of several names counts once for each.
    pub fn bytes_below(&self, position: u32) -> u64 {
        // What is below something comes right after it.
        let below = self.entries.iter().enumerate().skip(position as usize + 1);
        let below = below.take_while(|(_, entry)| entry.parent >= position).map(|(at, _)| self.size(at as u32));
        below.sum::<u64>() + self.size(position)
    }

    fn inside(&self) -> Vec<Vec<u32>> {
        let mut inside = vec![Vec::new(); self.entries.len()];
        for (position, entry) in self.entries.iter().enumerate().skip(1) {
            if let Some(children) = inside.get_mut(entry.parent as usize) {
                children.push(position as u32);
            }
        }
        inside
    }
}

/// One place where two trees differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Only the first has it; positions in the tree that has it. What is in a directory is not told again.
    OnlyFirst(u32),
    OnlySecond(u32),
    /// Both have it; positions in each.
    Other(u32, u32),
}

/// All differences, in the order of names.
pub fn differences(first: &Index, second: &Index) -> Vec<Difference> {
    differences_from(first, 0, second, 0, true)
}

/// Where a part of a tree, which was copied alone, is not what it should be. That a file has names elsewhere is no difference.
pub fn damage_below(expected: &Index, at: u32, found: &Index, found_at: u32) -> Option<(String, &'static str)> {
    differences_from(expected, at, found, found_at, false).into_iter().next().map(|difference| match difference {
        Difference::OnlyFirst(at) => (expected.path(at), "is missing"),
        Difference::OnlySecond(at) => (found.path(at), "was not there when the snapshot was taken"),
        Difference::Other(a, b) => (expected.path(a), words(&expected.entries[a as usize], &found.entries[b as usize])),
    })
}

fn differences_from(first: &Index, first_at: u32, second: &Index, second_at: u32, linked: bool) -> Vec<Difference> {
    let (inside_first, inside_second) = (first.inside(), second.inside());
    let mut found = Vec::new();
    let mut pending = vec![(first_at, second_at)];
    while let Some((a, b)) = pending.pop() {
        let (Some(one), Some(other)) = (first.entries.get(a as usize), second.entries.get(b as usize)) else {
            match (first.entries.is_empty(), second.entries.is_empty()) {
                (false, true) => found.push(Difference::OnlyFirst(0)),
                (true, false) => found.push(Difference::OnlySecond(0)),
                _ => {}
            }
            continue;
        };
        if !same(first, one, second, other, linked) {
            found.push(Difference::Other(a, b));
        }
        let (mut left, mut right) = (inside_first[a as usize].as_slice(), inside_second[b as usize].as_slice());
        let mut both = Vec::new();
        loop {
            match (left.first(), right.first()) {
                (None, None) => break,
                (Some(only), None) => {
                    found.push(Difference::OnlyFirst(*only));
                    left = &left[1..];
                }
                (None, Some(only)) => {
                    found.push(Difference::OnlySecond(*only));
                    right = &right[1..];
                }
                (Some(l), Some(r)) => match first.entries[*l as usize].name.cmp(&second.entries[*r as usize].name) {
                    std::cmp::Ordering::Less => {
                        found.push(Difference::OnlyFirst(*l));
                        left = &left[1..];
                    }
                    std::cmp::Ordering::Greater => {
                        found.push(Difference::OnlySecond(*r));
                        right = &right[1..];
                    }
                    std::cmp::Ordering::Equal => {
                        both.push((*l, *r));
                        (left, right) = (&left[1..], &right[1..]);
                    }
                },
            }
        }
        pending.extend(both.into_iter().rev());
    }
    found
}

fn same(first: &Index, one: &Entry, second: &Index, other: &Entry, linked: bool) -> bool {
    let kinds = match (&one.kind, &other.kind) {
        (
            Kind::File { size, content, same_as },
            Kind::File { size: other_size, content: other_content, same_as: other_same },
        ) => {
            // Positions shift when something else was added; the name at them does not.
            let name = |index: &Index, at: u32| index.entries.get(at as usize).map(|entry| entry.name.clone());
            (size, content) == (other_size, other_content)
                && (!linked || name(first, *same_as) == name(second, *other_same))
        }
        (one, other) => one == other,
    };
    kinds
        && (one.mode, one.owner, one.modified, one.attributes)
            == (other.mode, other.owner, other.modified, other.attributes)
}

/// What is different about an entry that both have, in words that go after its path.
pub fn words(expected: &Entry, found: &Entry) -> &'static str {
    match (&expected.kind, &found.kind) {
        (Kind::File { size, .. }, Kind::File { size: other, .. }) if size != other => "has another size",
        (Kind::File { content, .. }, Kind::File { content: other, .. }) if content != other => "has other content",
        (Kind::Link(target), Kind::Link(other)) if target != other => "leads somewhere else",
        (one, other) if std::mem::discriminant(one) != std::mem::discriminant(other) => "is something else",
        _ if expected.mode != found.mode => "has another mode",
        _ if expected.owner != found.owner => "has another owner",
        _ if expected.modified != found.modified => "was changed at another time",
        _ if expected.attributes != found.attributes => "has other attributes",
        _ => "is linked to other names",
    }
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }
    fn number32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    fn text(&mut self) -> Option<Vec<u8>> {
        let length = self.number32()? as usize;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text.to_vec())
    }
}
