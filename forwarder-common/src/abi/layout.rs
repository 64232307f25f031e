//! Layouts as numbers, computed while compiling: of two declarations that differ in a name, an offset, a size or a type, two that differ.

/// What has a layout: integers, arrays, and records of them.
pub trait Layout {
    /// The layout as a number.
    const LAYOUT: Hash;
    /// What it consists of, for a version that lays it out otherwise; nothing where it is no record.
    const FIELDS: &'static [Field] = &[];
    /// What an array is an array of.
    const ELEMENT: Option<Element> = None;
}

/// What an array has several of.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// Bytes.
    pub size: usize,
    /// The layout of its type.
    pub layout: Hash,
}

/// A field of a record.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As it is declared.
    pub name: &'static str,
    /// Bytes before it.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
    /// The layout of its type.
    pub layout: Hash,
    /// What it has several of, if it is an array.
    pub element: Option<Element>,
}

/// A hash that grows: 64-bit FNV-1a.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(u64);

impl Hash {
    /// Of nothing.
    pub const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// Of a type that is called `name`, so far without fields.
    #[must_use]
    pub const fn of_type<T>(name: &str) -> Self {
        Self::EMPTY.text(name).number(size_of::<T>() as u64).number(align_of::<T>() as u64)
    }

    /// With one more field.
    #[must_use]
    pub const fn field(self, name: &str, offset: usize, layout: Self) -> Self {
        self.text(name).number(offset as u64).number(layout.0)
    }

    /// With one more number.
    #[must_use]
    pub const fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// With one more word, told from the next by its length.
    #[must_use]
    pub const fn text(self, text: &str) -> Self {
        self.number(text.len() as u64).bytes(text.as_bytes())
    }

    const fn bytes(self, mut bytes: &[u8]) -> Self {
        let Self(mut hash) = self;
        while let [first, rest @ ..] = bytes {
            hash = (hash ^ *first as u64).wrapping_mul(0x0100_0000_01b3);
            bytes = rest;
        }
        Self(hash)
    }

    /// Of an array of `length` of what has this layout.
    #[must_use]
    pub const fn array(self, length: u64) -> Self {
        self.text("[]").number(length)
    }

    /// What [`raw`](Self::raw) has said.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// As an integer.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }
}

macro_rules! integers {
    ($($integer:ty)*) => {
        $(impl Layout for $integer {
            const LAYOUT: Hash = Hash::of_type::<Self>(stringify!($integer));
        })*
    };
}
integers! { u8 u16 u32 u64 }

/// No key, of a queue.
impl Layout for () {
    const LAYOUT: Hash = Hash::of_type::<Self>("()");
}

impl<T: Layout, const N: usize> Layout for [T; N] {
    const LAYOUT: Hash = T::LAYOUT.array(N as u64);
    const ELEMENT: Option<Element> = Some(Element { size: size_of::<T>(), layout: T::LAYOUT });
}
