//! The kernel's own description of its types (BTF), as far as sockwatch asks about it.
//!
//! The format is in the kernel's Documentation/bpf/btf.rst and include/uapi/linux/btf.h. One pass over the type section
//! notes where each type starts and which ones have a name worth looking up; everything else is read when asked for.
//! Whatever the bytes say, reading them ends, and ends without a panic: every read is checked, every walk bounded.
//! Its tests are in `offsets.rs`, beside the table of what is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Where the running kernel shows its BTF.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
/// Length of the header without the layout section, which newer kernels (7.2 does) may add.
const HEADER: usize = 24;
/// Length of `struct btf_type`.
const TYPE: usize = 12;
/// Length of `struct btf_member`.
const MEMBER: usize = 12;

// `BTF_KIND_*`.
const PTR: u8 = 2;
const STRUCT: u8 = 4;
const UNION: u8 = 5;
const ENUM: u8 = 6;
const TYPEDEF: u8 = 8;
const RESTRICT: u8 = 11;
const FUNC: u8 = 12;
const TYPE_TAG: u8 = 18;
const ENUM64: u8 = 19;

/// What follows `struct btf_type` by kind: bytes once, and bytes for each of `vlen` elements.
const fn trailing(kind: u8) -> Option<(usize, usize)> {
    Some(match kind {
        1 | 14 | 17 => (4, 0),          // INT, VAR, DECL_TAG
        3 => (12, 0),                   // ARRAY
        4 | 5 | 15 | 19 => (0, 12),     // STRUCT, UNION, DATASEC, ENUM64
        6 | 13 => (0, 8),               // ENUM, FUNC_PROTO
        2 | 7..=12 | 16 | 18 => (0, 0), // PTR, FWD to FUNC, FLOAT, TYPE_TAG
        _ => return None,
    })
}

/// Longest chain of typedefs and qualifiers, and deepest nesting of anonymous members, that is followed. The kernel
/// itself refuses longer ones (`MAX_RESOLVE_DEPTH` in kernel/bpf/btf.c).
const MAX_DEPTH: usize = 32;
/// Members that one look-up may visit. `task_struct`, the largest struct asked about, has some 300.
const MAX_VISITS: usize = 100_000;
const TOO_DEEP: BtfError = BtfError::Corrupt("types are nested too deeply, or in a circle");

/// Why BTF could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BtfError {
    /// The bytes do not begin with BTF's magic number.
    NotBtf,
    /// It was written by a big-endian kernel.
    BigEndian,
    /// It is of a version other than 1.
    Version(u8),
    /// The header, a section or a type reaches beyond the end.
    Truncated,
    /// A type is of a `BTF_KIND_*` unknown here, and the BTF does not say how long it is.
    UnknownKind(u8),
    /// Types contradict each other: what is wrong.
    Corrupt(&'static str),
    /// The member is a bitfield: it has no byte offset that a program could read at.
    Bitfield,
}

impl fmt::Display for BtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBtf => f.write_str("not BTF: its magic number is missing"),
            Self::BigEndian => f.write_str("BTF of a big-endian kernel, which is not supported"),
            Self::Version(version) => write!(f, "BTF of version {version}; only version {VERSION} is known"),
            Self::Truncated => f.write_str("truncated BTF"),
            Self::UnknownKind(kind) => write!(f, "BTF with a type of the unknown kind {kind}"),
            Self::Corrupt(what) => write!(f, "corrupt BTF: {what}"),
            Self::Bitfield => f.write_str("a bitfield, which has no offset in bytes"),
        }
    }
}

impl std::error::Error for BtfError {}

/// One `struct btf_type`.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u8,
    flag: bool,
    vlen: usize,
    size_or_type: u32,
    /// Where in the type section its elements are.
    elements: usize,
}

impl Type {
    fn read(types: &[u8], at: usize) -> Option<Self> {
        let &[n0, n1, n2, n3, i0, i1, i2, i3, s0, s1, s2, s3] = types.get(at..)?.first_chunk::<TYPE>()?;
        Some(Self {
            name: u32::from_le_bytes([n0, n1, n2, n3]),
            // 7 bits of kind and 24 of vlen as in Linux 7.2; 5 and 16 in older ones, where the others are 0.
            kind: i3 & 0x7f,
            flag: i3 & 0x80 != 0,
            vlen: u32::from_le_bytes([i0, i1, i2, 0]) as usize,
            size_or_type: u32::from_le_bytes([s0, s1, s2, s3]),
            elements: at + TYPE,
        })
    }
}

/// A member found: where in its aggregate, and what it is.
struct Member {
    bit: u64,
    bitfield: bool,
    type_id: u32,
}

/// Types that can be looked up: where the name is, and the type's id.
type Names = Vec<(u32, u32)>;

/// BTF, ready for look-ups. Little-endian only.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where in the type section each type begins; type 1 comes first, as type 0 is `void`.
    starts: Vec<u32>,
    /// Structs and unions that have members, so neither forward declarations nor empty ones.
    aggregates: Names,
    enums: Names,
    typedefs: Names,
    funcs: Names,
}

impl<'a> Btf<'a> {
    /// Reads the bytes of [`KERNEL_BTF`]. They are not copied.
    ///
    /// # Errors
    /// If they are not little-endian BTF of version 1, or a section or type in them has no end.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        match bytes.first_chunk().map(|magic| u16::from_le_bytes(*magic)) {
            Some(MAGIC) => {}
            Some(magic) if magic.swap_bytes() == MAGIC => return Err(BtfError::BigEndian),
            _ => return Err(BtfError::NotBtf),
        }
        if let Some(&version) = bytes.get(2).filter(|&&version| version != VERSION) {
            return Err(BtfError::Version(version));
        }
        let header_len = u32_at(bytes, 4).map(|len| len as usize).filter(|&len| len >= HEADER);
        let header_len = header_len.ok_or(BtfError::Truncated)?;
        // A section's offset, which counts from the header's end, and its length are a pair in the header.
        let section = |at| {
            let start = header_len.checked_add(u32_at(bytes, at)? as usize)?;
            bytes.get(start..start.checked_add(u32_at(bytes, at + 4)? as usize)?)
        };
        let types = section(8).ok_or(BtfError::Truncated)?;
        let strings = section(16).ok_or(BtfError::Truncated)?;
        // It says how long each kind is, so that kinds still to come can be skipped.
        let layout = if header_len < HEADER + 8 { &[] } else { section(24).ok_or(BtfError::Truncated)? };
        let starts = Vec::with_capacity(types.len() / (2 * TYPE));
        let [aggregates, enums, typedefs, funcs] = [const { Names::new() }; 4];
        let mut btf = Self { types, strings, starts, aggregates, enums, typedefs, funcs };
        btf.index(layout)?;
        Ok(btf)
    }

    /// The one pass over all types.
    fn index(&mut self, layout: &[u8]) -> Result<(), BtfError> {
        let mut at = 0;
        let mut id = 0;
        while at < self.types.len() {
            let Type { name, kind, vlen, .. } = Type::read(self.types, at).ok_or(BtfError::Truncated)?;
            id += 1;
            self.starts.push(at as u32);
            match kind {
                STRUCT | UNION if vlen > 0 => self.aggregates.push((name, id)),
                ENUM | ENUM64 => self.enums.push((name, id)),
                TYPEDEF => self.typedefs.push((name, id)),
                FUNC => self.funcs.push((name, id)),
                _ => {}
            }
            let described = || match layout.get(usize::from(kind) * 4..)?.first_chunk::<4>()? {
                _ if kind == 0 => None,
                &[once, each, _flags @ ..] => Some((once.into(), each.into())),
            };
            let (once, each) = trailing(kind).or_else(described).ok_or(BtfError::UnknownKind(kind))?;
            at += TYPE + once + each * vlen;
        }
        if at == self.types.len() { Ok(()) } else { Err(BtfError::Truncated) }
    }

    /// Byte offset in `structure` (a struct or union) of the member at `path`: names joined by dots, each of which is
    /// also found inside anonymous structs and unions. `None` if there is no such struct or member; pointers are not
    /// followed. Of several structs of that name, the first with members counts.
    ///
    /// # Errors
    /// [`BtfError::Bitfield`] if that member is a bitfield; others if the types on the way are corrupt.
    pub fn member_offset(&self, structure: &str, path: &str) -> Result<Option<u32>, BtfError> {
        let mut container = self.named(&self.aggregates, structure).next();
        let size = container.map_or(0, |outermost| outermost.size_or_type);
        let mut visits = MAX_VISITS;
        let mut bit = 0;
        for name in path.split('.') {
            let Some(aggregate) = container else { return Ok(None) };
            let Some(member) = self.member(&aggregate, name, MAX_DEPTH, &mut visits)? else { return Ok(None) };
            if member.bitfield {
                return Err(BtfError::Bitfield);
            }
            bit += member.bit;
            container = self.aggregate(member.type_id)?;
        }
        match u32::try_from(bit / 8) {
            _ if bit % 8 != 0 => Err(BtfError::Bitfield),
            // A flexible array at the end begins where the struct ends.
            Ok(byte) if byte <= size => Ok(Some(byte)),
            _ => Err(BtfError::Corrupt("a member lies outside of its struct")),
        }
    }

    /// Whether the kernel has a function of this name, that a trampoline could attach to.
    #[must_use]
    pub fn has_func(&self, name: &str) -> bool {
        self.named(&self.funcs, name).next().is_some()
    }

    /// Whether there is a typedef of this name. The kernel has `btf_trace_<name>` for each tracepoint that a `tp_btf`
    /// program can attach to.
    #[must_use]
    pub fn has_typedef(&self, name: &str) -> bool {
        self.named(&self.typedefs, name).next().is_some()
    }

    /// BTF that has these functions and typedefs alone, each with the id that it has here; the other ids up to the last are
    /// pointers to `void`. For who goes through all types, and reads the name of each, whenever it looks for one. What this
    /// does not have the excerpt has not either; of several of a name it has the first.
    #[must_use]
    pub fn excerpt(&self, funcs: &[String], typedefs: &[String]) -> Vec<u8> {
        let mut found = BTreeMap::new();
        for (kind, names, all) in [(FUNC, funcs, &self.funcs), (TYPEDEF, typedefs, &self.typedefs)] {
            let mut wanted: BTreeSet<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
            found.extend(all.iter().filter_map(|&(at, id)| Some((id, (kind, wanted.take(self.string(at)?)?)))));
        }
        let mut types: Vec<u8> = Vec::new();
        let mut strings = vec![0];
        let last = found.keys().next_back().copied().unwrap_or(0);
        for id in 1..=last {
            let (name, kind) = match found.get(&id) {
                Some((kind, name)) => {
                    let at = strings.len() as u32;
                    strings.extend(*name);
                    strings.push(0);
                    (at, *kind)
                }
                None => (0, PTR),
            };
            types.extend([name, u32::from(kind) << 24, 0].map(u32::to_le_bytes).as_flattened());
        }
        let lengths = [types.len() as u32, strings.len() as u32];
        let mut bytes = Vec::with_capacity(HEADER + types.len() + strings.len());
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend([VERSION, 0]);
        // Its own length, then where the sections are and how long they are.
        let header = [HEADER as u32, 0, lengths[0], lengths[0], lengths[1]];
        bytes.extend(header.map(u32::to_le_bytes).as_flattened());
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    /// The value of an enumerator; of an unsigned 64-bit one above `i64::MAX`, its bits. An empty `name` looks in all
    /// enums without a name.
    #[must_use]
    pub fn enum_value(&self, name: &str, enumerator: &str) -> Option<i64> {
        self.named(&self.enums, name).find_map(|found| {
            let each = if found.kind == ENUM { 8 } else { 12 };
            let at = (0..found.vlen)
                .map(|nth| found.elements + nth * each)
                .find(|&at| u32_at(self.types, at).is_some_and(|name| self.is_name(name, enumerator)))?;
            let low = u32_at(self.types, at + 4)?;
            Some(match found.kind {
                ENUM64 => (u64::from(u32_at(self.types, at + 8)?) << 32 | u64::from(low)) as i64,
                _ if found.flag => i64::from(low as i32),
                _ => i64::from(low),
            })
        })
    }

    /// Looks for a member in an aggregate and in the anonymous ones within it.
    fn member(&self, of: &Type, name: &str, depth: usize, visits: &mut usize) -> Result<Option<Member>, BtfError> {
        let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
        for at in (0..of.vlen).map(|nth| of.elements + nth * MEMBER) {
            *visits = visits.checked_sub(1).ok_or(TOO_DEEP)?;
            let field = |nth: usize| u32_at(self.types, at + 4 * nth).ok_or(BtfError::Truncated);
            let (its_name, type_id, position) = (field(0)?, field(1)?, field(2)?);
            // With the flag set, the upper 8 bits are the width of a bitfield and 0 for all other members.
            let (bit, bitfield) = if of.flag { (position & 0xff_ffff, position >> 24 != 0) } else { (position, false) };
            let bit = u64::from(bit);
            if !self.is_name(its_name, "") {
                if self.is_name(its_name, name) {
                    return Ok(Some(Member { bit, bitfield, type_id }));
                }
            } else if let Some(anonymous) = self.aggregate(type_id)?
                && let Some(found) = self.member(&anonymous, name, depth, visits)?
            {
                return Ok(Some(Member { bit: bit + found.bit, ..found }));
            }
        }
        Ok(None)
    }

    /// The struct or union that a type is, behind typedefs and qualifiers.
    fn aggregate(&self, mut id: u32) -> Result<Option<Type>, BtfError> {
        for _ in 0..MAX_DEPTH {
            if id == 0 {
                return Ok(None);
            }
            let found = self.get(id).ok_or(BtfError::Corrupt("a type is not there"))?;
            match found.kind {
                STRUCT | UNION => return Ok(Some(found)),
                TYPEDEF..=RESTRICT | TYPE_TAG => id = found.size_or_type,
                _ => return Ok(None),
            }
        }
        Err(TOO_DEEP)
    }

    fn get(&self, id: u32) -> Option<Type> {
        Type::read(self.types, *self.starts.get(id.checked_sub(1)? as usize)? as usize)
    }

    fn named(&self, among: &[(u32, u32)], name: &str) -> impl Iterator<Item = Type> {
        among.iter().filter(move |&&(at, _)| self.is_name(at, name)).filter_map(|&(_, id)| self.get(id))
    }

    fn string(&self, at: u32) -> Option<&'a [u8]> {
        let rest = self.strings.get(at as usize..)?;
        rest.get(..rest.iter().position(|&byte| byte == 0)?)
    }

    fn is_name(&self, at: u32, name: &str) -> bool {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        rest.starts_with(name.as_bytes()) && rest.get(name.len()) == Some(&0)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}
