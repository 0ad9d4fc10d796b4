//! Where this kernel keeps what the programs read: the table of [`Offsets`], filled from its BTF.

use std::fmt;

use sockwatch_ebpf::{ABSENT, Offsets};

use super::btf::{Btf, BtfError};

/// Members that the programs cannot do without, and that could not be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingOffsets {
    /// Never empty; in the order of [`Offsets::TABLE`].
    pub members: Vec<MissingMember>,
}

/// One member that could not be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingMember {
    /// The kernel's struct.
    pub structure: &'static str,
    /// The member, a path with dots.
    pub member: &'static str,
    /// What kept it from being found, unless the BTF just does not have it.
    pub cause: Option<BtfError>,
}

impl fmt::Display for MissingOffsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this kernel's BTF has no ")?;
        for (nth, MissingMember { structure, member, cause }) in self.members.iter().enumerate() {
            let separator = if nth == 0 { "" } else { ", " };
            write!(f, "{separator}{structure}.{member}")?;
            if let Some(cause) = cause {
                write!(f, " ({cause})")?;
            }
        }
        f.write_str(
            "; sockwatch needs Linux 5.15 or newer, built with CONFIG_DEBUG_INFO_BTF=y: \
             on such a kernel, look for a newer sockwatch",
        )
    }
}

impl std::error::Error for MissingOffsets {}

/// Finds every member of [`Offsets::TABLE`] in a kernel's BTF. Optional ones that it lacks become [`ABSENT`].
///
/// # Errors
/// Names all required members that it lacks, not just the first, and whatever member's types are corrupt.
pub fn resolve(btf: &Btf<'_>) -> Result<Offsets, MissingOffsets> {
    resolve_table(btf, Offsets::TABLE).map(|values| Offsets::from_values(&values))
}

fn resolve_table(btf: &Btf<'_>, table: &[(&'static str, &'static str, bool)]) -> Result<Vec<u32>, MissingOffsets> {
    let mut values = Vec::with_capacity(table.len());
    let mut members = Vec::new();
    for &(structure, member, required) in table {
        let mut missing = |cause| members.push(MissingMember { structure, member, cause });
        match btf.member_offset(structure, member) {
            Ok(Some(offset)) => values.push(offset),
            Ok(None) | Err(BtfError::Bitfield) if !required => values.push(ABSENT),
            Ok(None) => missing(None),
            Err(cause) => missing(Some(cause)),
        }
    }
    if members.is_empty() { Ok(values) } else { Err(MissingOffsets { members }) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::kernel::btf::KERNEL_BTF;

    const HEADER: u32 = 24;
    // `BTF_KIND_*`.
    const PTR: u8 = 2;
    const STRUCT: u8 = 4;
    const UNION: u8 = 5;
    const ENUM: u8 = 6;
    const FWD: u8 = 7;
    const TYPEDEF: u8 = 8;
    const CONST: u8 = 10;
    const FUNC: u8 = 12;
    const FLOAT: u8 = 16;
    const TYPE_TAG: u8 = 18;
    const ENUM64: u8 = 19;
    /// With it, a struct has bitfields and an enum is signed.
    const FLAG: u8 = 0x80;

    /// BTF in the making.
    #[derive(Default)]
    struct Blob {
        types: Vec<u8>,
        count: u32,
        strings: Vec<u8>,
    }

    impl Blob {
        fn name(&mut self, name: &str) -> [u8; 4] {
            let at = if name.is_empty() { 0 } else { self.strings.len() as u32 + 1 };
            self.strings.extend(name.bytes().chain([0]));
            at.to_le_bytes()
        }

        /// Adds a type, each element of which is a name and words, and returns its id.
        fn add(&mut self, kind: u8, name: &str, size_or_type: u32, elements: &[(&str, &[u32])]) -> u32 {
            let name = self.name(name);
            self.types.extend(name);
            let info = u32::from(kind) << 24 | elements.len() as u32;
            self.types.extend([info, size_or_type].map(u32::to_le_bytes).as_flattened());
            for (name, words) in elements {
                let name = self.name(name);
                self.types.extend(name);
                self.types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            }
            self.count += 1;
            self.count
        }

        fn bytes(self) -> Vec<u8> {
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32 + 1);
            let header = [0x0001_eb9f, HEADER, 0, types, types, strings].map(u32::to_le_bytes);
            [header.as_flattened(), &self.types, &[0], &self.strings].concat()
        }
    }

    /// A little of everything.
    fn sample() -> Vec<u8> {
        let mut blob = Blob::default();
        let int = blob.add(FLOAT, "int", 4, &[]);
        blob.add(FWD, "outer", 0, &[]);
        blob.add(STRUCT, "outer", 0, &[]);
        let inner = blob.add(STRUCT, "inner", 8, &[("x", &[int, 0]), ("y", &[int, 32])]);
        let tagged = blob.add(TYPE_TAG, "rcu", inner, &[]);
        let constant = blob.add(CONST, "", tagged, &[]);
        let alias = blob.add(TYPEDEF, "inner_t", constant, &[]);
        let pointer = blob.add(PTR, "", inner, &[]);
        let union = blob.add(UNION, "", 8, &[("flag", &[int, 0]), ("in", &[alias, 0])]);
        let nest = blob.add(STRUCT, "", 12, &[("", &[int, 0]), ("", &[union, 32])]);
        blob.add(STRUCT, "outer", 24, &[("a", &[int, 0]), ("", &[nest, 32]), ("p", &[pointer, 128])]);
        blob.add(STRUCT, "outer", 8, &[("a", &[int, 32]), ("late", &[int, 0])]);
        let width = 3 << 24;
        let plain: [(&str, &[u32]); 2] = [("whole", &[int, 16]), ("off", &[int, 17])];
        blob.add(STRUCT | FLAG, "bits", 4, &[("b", &[int, width | 8]), plain[0], plain[1], ("far", &[int, 40])]);
        blob.add(ENUM, "unsigned", 4, &[("ZERO", &[0]), ("TOP", &[u32::MAX])]);
        blob.add(ENUM | FLAG, "signed", 4, &[("MINUS", &[u32::MAX])]);
        blob.add(ENUM64, "wide", 8, &[("BIG", &[1, 2])]);
        blob.add(ENUM, "", 4, &[("NAMELESS", &[7])]);
        blob.add(FUNC, "tcp_v4_connect", 0, &[]);
        blob.bytes()
    }

    const TABLE: &[(&str, &str, bool)] =
        &[("outer", "in.y", true), ("outer", "a", true), ("bits", "b", false), ("outer", "none", false)];

    /// Asks everything, for the sake of bytes that may answer anything.
    fn ask(bytes: &[u8]) {
        let Ok(btf) = Btf::parse(bytes) else { return };
        _ = resolve_table(&btf, TABLE).map_err(|missing| missing.to_string());
        _ = (btf.member_offset("bits", "far"), btf.enum_value("unsigned", "TOP"), btf.enum_value("wide", "BIG"));
        _ = (btf.has_func("tcp_v4_connect"), btf.has_typedef("inner_t"));
    }

    #[test]
    fn members_are_found_through_anonymous_unions_and_typedefs_but_not_through_pointers() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        for (path, offset) in [("a", Some(0)), ("flag", Some(8)), ("in", Some(8)), ("in.y", Some(12)), ("p", Some(16))]
        {
            assert_eq!(btf.member_offset("outer", path), Ok(offset), "{path}");
        }
        for path in ["p.x", "a.x", "none", "in.none", "", ".", "in.", "outer", "fla", "flags"] {
            assert_eq!(btf.member_offset("outer", path), Ok(None), "{path}");
        }
    }

    #[test]
    fn of_several_structs_of_a_name_the_first_with_members_counts() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.member_offset("outer", "a"), Ok(Some(0)));
        assert_eq!(btf.member_offset("outer", "late"), Ok(None));
        for name in ["oute", "outer_", "inner_t", "tcp_v4_connect"] {
            assert_eq!(btf.member_offset(name, "a"), Ok(None), "{name}");
        }
    }

    #[test]
    fn a_bitfield_has_no_offset_and_a_whole_member_beside_it_has() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.member_offset("bits", "whole"), Ok(Some(2)));
        assert_eq!(btf.member_offset("bits", "b"), Err(BtfError::Bitfield));
        assert_eq!(btf.member_offset("bits", "off"), Err(BtfError::Bitfield));
        assert!(matches!(btf.member_offset("bits", "far"), Err(BtfError::Corrupt(_))));
    }

    #[test]
    fn enumerators_functions_and_typedefs_are_found_by_their_whole_name() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.enum_value("unsigned", "TOP"), Some(0xffff_ffff));
        assert_eq!(btf.enum_value("signed", "MINUS"), Some(-1));
        assert_eq!(btf.enum_value("wide", "BIG"), Some(0x2_0000_0001));
        assert_eq!(btf.enum_value("", "NAMELESS"), Some(7));
        assert_eq!(btf.enum_value("unsigned", "MINUS"), None);
        assert!(btf.has_func("tcp_v4_connect") && !btf.has_func("tcp_v4") && !btf.has_func("inner_t"));
        assert!(btf.has_typedef("inner_t") && !btf.has_typedef("tcp_v4_connect"));
    }

    #[test]
    fn an_excerpt_has_what_is_asked_for_where_it_was() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        let names = |names: [&str; 3]| names.map(str::to_owned);
        let funcs = names(["tcp_v4_connect", "absent", "inner_t"]);
        let typedefs = names(["inner_t", "tcp_v4_connect", "inner_t"]);
        let excerpt = btf.excerpt(&funcs, &typedefs);
        let few = Btf::parse(&excerpt).unwrap();
        assert!(few.has_func("tcp_v4_connect") && few.has_typedef("inner_t"));
        assert!(!few.has_func("inner_t") && !few.has_typedef("tcp_v4_connect"));
        assert_eq!(few.member_offset("sock", "a"), Ok(None));
        // Were an id another, it would be yet another in this one.
        assert_eq!(few.excerpt(&funcs, &typedefs), excerpt);
        assert!(Btf::parse(&btf.excerpt(&[], &funcs[1..2])).is_ok(), "of nothing");
    }

    #[test]
    fn a_future_kind_is_skipped_if_the_btf_says_how_long_it_is() {
        let mut blob = Blob::default();
        blob.add(20, "", 0, &[("", &[0, 0])]);
        blob.add(FUNC, "behind", 0, &[]);
        let mut bytes = blob.bytes();
        assert_eq!(Btf::parse(&bytes).err(), Some(BtfError::UnknownKind(20)));
        let layout: Vec<u8> = (0..=20).flat_map(|kind| [0, if kind == 20 { 12 } else { 0 }, 0, 0]).collect();
        let at = bytes.len() as u32 - HEADER;
        bytes.extend(&layout);
        bytes[4] = HEADER as u8 + 8;
        bytes.splice(24..24, [at, layout.len() as u32].map(u32::to_le_bytes).as_flattened().iter().copied());
        assert!(Btf::parse(&bytes).unwrap().has_func("behind"));
    }

    #[test]
    fn truncated_btf_is_refused_at_every_length() {
        let bytes = sample();
        for len in 0..bytes.len() {
            assert!(Btf::parse(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
        let swapped = [&[0xeb, 0x9f], &bytes[2..]].concat();
        assert_eq!(Btf::parse(&swapped).err(), Some(BtfError::BigEndian));
    }

    #[test]
    fn no_flipped_bit_makes_it_panic_or_hang() {
        let mut bytes = sample();
        let began = Instant::now();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            ask(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn circles_and_exponential_nesting_end_in_an_error() {
        let mut blob = Blob::default();
        blob.add(STRUCT, "itself", 8, &[("", &[1, 0]), ("", &[1, 0])]);
        blob.add(TYPEDEF, "circle", 2, &[]);
        blob.add(STRUCT, "round", 8, &[("", &[2, 0])]);
        blob.add(STRUCT, "dangling", 8, &[("", &[9999, 0])]);
        let mut below = blob.add(STRUCT, "", 8, &[("leaf", &[0, 0])]);
        for _ in 0..28 {
            let member: (&str, &[u32]) = ("", &[below, 0]);
            below = blob.add(STRUCT, "", 8, &[member; 4]);
        }
        blob.add(STRUCT, "broad", 8, &[("", &[below, 0])]);
        let bytes = blob.bytes();
        let btf = Btf::parse(&bytes).unwrap();
        for name in ["itself", "round", "dangling", "broad"] {
            assert!(matches!(btf.member_offset(name, "absent"), Err(BtfError::Corrupt(_))), "{name}");
        }
        assert_eq!(btf.member_offset("broad", "leaf"), Ok(Some(0)));
    }

    #[test]
    fn optional_members_may_be_missing_and_all_required_ones_are_named() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(resolve_table(&btf, TABLE), Ok(vec![12, 0, ABSENT, ABSENT]));
        let table = [("sock", "sk_protocol", true), ("outer", "a", true), ("bits", "b", true)];
        let said = resolve_table(&btf, &table).unwrap_err().to_string();
        assert!(said.starts_with("this kernel's BTF has no sock.sk_protocol, bits.b (a bitfield"), "{said}");
        assert!(said.contains("5.15") && said.contains("CONFIG_DEBUG_INFO_BTF"), "{said}");
        let required = Offsets::TABLE.iter().filter(|(_, _, required)| *required).count();
        assert_eq!(resolve(&btf).err().map(|missing| missing.members.len()), Some(required));
    }

    #[test]
    fn the_running_kernel_has_every_required_member() {
        let bytes = match std::fs::read(KERNEL_BTF) {
            Ok(bytes) => bytes,
            Err(error) => return eprintln!("SKIPPED: this kernel shows no BTF: {KERNEL_BTF}: {error}"),
        };
        let btf = Btf::parse(&bytes).unwrap();
        if let Err(missing) = resolve(&btf) {
            panic!("{missing}");
        }
        assert!(btf.has_typedef("btf_trace_tcp_destroy_sock") && btf.has_func("tcp_v4_connect"));
        assert_eq!(btf.enum_value("sock_flags", "SOCK_DONE"), Some(1));
    }
}
