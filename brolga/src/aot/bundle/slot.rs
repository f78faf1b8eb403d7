//! The place inside a program that says where in the program's own file the model is that it carries.
//!
//! It is part of the program's data and empty in every build. Whoever copies the program's file to add a model fills the copy's
//! place in. So a program that carries nothing is known without a look at its file, and one whose model was cut off is still known
//! to have had one.
#![allow(unsafe_code)]

/// Begins the place: nothing else in a program is like it. The last byte is the version of the format.
const MARK: [u8; 32] = *b"brolga: model \xd1\x0e\x9b\x47\xe2\x5c\xf8\x33\x8a\x16\xb5\x7d\xc9\x60\x2f\x94\xab\x01";
/// Bytes of the place, and what it is aligned to in memory and file.
const SIZE: usize = 64;

#[repr(align(64))]
struct Place([u8; SIZE]);

static PLACE: Place = {
    let mut bytes = [0; SIZE];
    let mut at = 0;
    while at < MARK.len() {
        bytes[at] = MARK[at];
        at += 1;
    }
    Place(bytes)
};

/// Where the table of what is carried lies in the file, and the checksum of its bytes. Empty: the length is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    pub offset: u64,
    pub len: u64,
    pub checksum: u64,
}

impl Slot {
    /// What this program's place holds.
    pub(super) fn own() -> Slot {
        Slot::from_bytes(&own_bytes())
    }

    /// What the only place in a program's file holds, and where that is; none when it has no such place or several.
    pub(super) fn find(program: &[u8]) -> Option<(usize, Slot)> {
        // The mark is read and not named, since a second copy of it in this program would be a second place.
        let own = own_bytes();
        let (places, _) = program.as_chunks::<SIZE>();
        let mut found = places.iter().enumerate().filter(|(_, place)| place[..MARK.len()] == own[..MARK.len()]);
        match (found.next(), found.next()) {
            (Some((index, place)), None) => Some((index * SIZE, Slot::from_bytes(place))),
            _ => None,
        }
    }

    fn from_bytes(bytes: &[u8; SIZE]) -> Slot {
        let (words, _) = bytes[MARK.len()..].as_chunks::<8>();
        let [offset, len, checksum, _] = *words else { return Slot::default() };
        let [offset, len, checksum] = [offset, len, checksum].map(u64::from_le_bytes);
        Slot { offset, len, checksum }
    }

    /// A place that holds this.
    pub(super) fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = own_bytes();
        let words = [self.offset, self.len, self.checksum, 0].map(u64::to_le_bytes);
        bytes[MARK.len()..].copy_from_slice(words.as_flattened());
        bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn own_bytes() -> [u8; SIZE] {
    // SAFETY: the place is constant data. The compiler must not take its content as known, since the file may be a copy that
    // says something else.
    unsafe { std::ptr::read_volatile(&raw const PLACE.0) }
}
