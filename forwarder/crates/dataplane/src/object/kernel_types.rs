//! Two questions to the kernel's types (BTF, Documentation/bpf/btf.rst), answered without building a tree of all 150,000.

/// Kinds of type, of those that are told apart here.
mod kind {
    pub(crate) const INT: u32 = 1;
    pub(crate) const ARRAY: u32 = 3;
    pub(crate) const STRUCT: u32 = 4;
    pub(crate) const UNION: u32 = 5;
    pub(crate) const ENUM: u32 = 6;
    pub(crate) const FUNCTION: u32 = 12;
    pub(crate) const PROTOTYPE: u32 = 13;
    pub(crate) const VARIABLE: u32 = 14;
    pub(crate) const SECTION: u32 = 15;
    pub(crate) const TAG: u32 = 17;
    pub(crate) const ENUM64: u32 = 19;
}

const MAGIC: u16 = 0xeb9f;
/// Bytes of `struct btf_type`, and of `struct btf_member`.
const TYPE: usize = 12;
/// How deep anonymous structures are followed.
const DEPTH: u32 = 8;

/// The types of a kernel.
pub(crate) struct KernelTypes<'a> {
    types: &'a [u8],
    names: &'a [u8],
    /// Where each type starts in `types`; type 0, `void`, is not there.
    starts: Vec<u32>,
}

impl<'a> KernelTypes<'a> {
    /// Reads the sections of a BTF file in this machine's byte order; `None` if it is none.
    pub(crate) fn parse(file: &'a [u8]) -> Option<Self> {
        if file.first_chunk()? != &MAGIC.to_ne_bytes() {
            return None;
        }
        let section = |at: usize| {
            let start = word(file, 4)? as usize + word(file, at)? as usize;
            file.get(start..start + word(file, at + 4)? as usize)
        };
        let (types, names) = (section(8)?, section(16)?);
        let mut this = Self { types, names, starts: Vec::with_capacity(types.len() / 24) };
        let mut at = 0;
        while at < types.len() {
            this.starts.push(u32::try_from(at).ok()?);
            at += TYPE + trailing(word(types, at + 4)?);
        }
        Some(this)
    }

    /// The number of the function `name`.
    pub(crate) fn function(&self, name: &str) -> Option<u32> {
        self.find(kind::FUNCTION, name)
    }

    /// The offset of a field of the structure `name`, which may stand in anonymous structures within, bits.
    pub(crate) fn field(&self, name: &str, field: &str) -> Option<u32> {
        self.offset(self.find(kind::STRUCT, name)?, field, DEPTH)
    }

    fn find(&self, wanted: u32, name: &str) -> Option<u32> {
        let is_it = |at: &u32| {
            let at = *at as usize;
            let found = word(self.types, at + 4).map(|info| info >> 24 & 0x1f);
            found == Some(wanted) && self.name(at) == Some(name.as_bytes())
        };
        let index = self.starts.iter().position(is_it)?;
        u32::try_from(index + 1).ok()
    }

    fn offset(&self, number: u32, field: &str, depth: u32) -> Option<u32> {
        let start = *self.starts.get(number.checked_sub(1)? as usize)? as usize;
        let info = word(self.types, start + 4)?;
        if !matches!(info >> 24 & 0x1f, kind::STRUCT | kind::UNION) || depth == 0 {
            return None;
        }
        (0..info as usize & 0xffff).find_map(|member| {
            let at = start + TYPE * (member + 1);
            let (inner, offset) = (word(self.types, at + 4)?, word(self.types, at + 8)?);
            // With bit fields in the structure, the high byte is the width of the field.
            let offset = if info >> 31 != 0 { offset & 0xff_ffff } else { offset };
            match self.name(at)? {
                b"" => self.offset(inner, field, depth - 1).map(|within| offset + within),
                name => (name == field.as_bytes()).then_some(offset),
            }
        })
    }

    /// The name that the record at `at` begins with.
    fn name(&self, at: usize) -> Option<&'a [u8]> {
        let name = self.names.get(word(self.types, at)? as usize..)?;
        name.split(|byte| *byte == 0).next()
    }
}

/// Bytes that follow the record of a type with this `info`.
const fn trailing(info: u32) -> usize {
    let entries = info as usize & 0xffff;
    match info >> 24 & 0x1f {
        kind::INT | kind::VARIABLE | kind::TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::SECTION | kind::ENUM64 => 12 * entries,
        kind::ENUM | kind::PROTOTYPE => 8 * entries,
        _ => 0,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_the_headers() {
        let file = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        let types = KernelTypes::parse(&file).unwrap();
        assert_eq!(types.field("sk_buff", "next"), Some(0));
        assert_eq!(types.field("iphdr", "saddr"), Some(96), "RFC 791");
        assert_eq!(types.field("iphdr", "no such field"), None);
        assert!(types.function("bpf_cast_to_kern_ctx").is_some() && types.function("no such function").is_none());
    }

    #[test]
    fn what_is_cut_off_is_not_read() {
        let file = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        assert!(KernelTypes::parse(&file[..file.len() / 2]).is_none());
        assert!(KernelTypes::parse(b"\x9f\xeb").is_none());
    }
}
