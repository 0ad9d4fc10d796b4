//! serde to JSON.

use std::{
    fmt::Display,
    io::{self, Write},
};

use serde::{
    Serialize, Serializer,
    ser::{
        Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};
use serde_json::Error;

use super::escape::{Visible, is_plain};

/// Adds a value to a text, in JSON that can't drive a terminal.
pub(crate) fn write(text: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    Ok(value.serialize(Writer { text })?)
}

/// Writes just what serde_json does with [`Visible`], and leaves to it what is hard: numbers, and text in which something is to be
/// escaped. For each field it looks for what to escape in the field's name, too, and that was half of a line's time.
struct Writer<'a> {
    text: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    fn library(self) -> serde_json::Serializer<&'a mut Vec<u8>, Visible> {
        serde_json::Serializer::with_formatter(self.text, Visible)
    }

    /// Begins an array or object.
    fn members(self, begin: &str, end: &'static str) -> Members<'a> {
        self.text.extend_from_slice(begin.as_bytes());
        Members { text: self.text, is_first: true, end }
    }

    /// Begins the object that names a variant.
    fn variant(&mut self, name: &'static str) {
        self.text.push(b'{');
        self.name(name);
    }

    /// A name that stands in our source.
    fn name(&mut self, name: &'static str) {
        debug_assert!(is_plain(name.as_bytes()), "{name}");
        self.text.push(b'"');
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
    }
}

/// What serde_json writes.
macro_rules! by_library {
    ($($method:ident($type:ty)),* $(,)?) => {
        $(fn $method(self, value: $type) -> Result<(), Error> {
            self.library().$method(value)
        })*
    };
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Members<'a>;
    type SerializeTuple = Members<'a>;
    type SerializeTupleStruct = Members<'a>;
    type SerializeTupleVariant = Members<'a>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeStructVariant = Members<'a>;

    by_library! {
        serialize_bool(bool), serialize_char(char), serialize_bytes(&[u8]), serialize_f32(f32), serialize_f64(f64),
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64), serialize_i128(i128),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_u128(u128),
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        if !is_plain(value.as_bytes()) {
            return self.library().serialize_str(value);
        }
        self.text.push(b'"');
        self.text.extend_from_slice(value.as_bytes());
        self.text.push(b'"');
        Ok(())
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        let start = self.text.len();
        self.text.push(b'"');
        write!(self.text, "{value}").map_err(Error::io)?;
        if is_plain(&self.text[start + 1..]) {
            self.text.push(b'"');
            return Ok(());
        }
        self.text.truncate(start);
        self.library().collect_str(value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.text.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(variant);
        value.serialize(Writer { text: &mut *self.text })?;
        self.text.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Members<'a>, Error> {
        Ok(self.members("[", "]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Members<'a>, Error> {
        Ok(self.members("[", "]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Members<'a>, Error> {
        Ok(self.members("[", "]"))
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members<'a>, Error> {
        self.variant(variant);
        Ok(self.members("[", "]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members<'a>, Error> {
        Ok(self.members("{", "}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members<'a>, Error> {
        Ok(self.members("{", "}"))
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members<'a>, Error> {
        self.variant(variant);
        Ok(self.members("{", "}}"))
    }
}

/// An array or object that is being written.
struct Members<'a> {
    text: &'a mut Vec<u8>,
    is_first: bool,
    end: &'static str,
}

impl Members<'_> {
    /// For the next member.
    fn next(&mut self) -> Writer<'_> {
        if !std::mem::take(&mut self.is_first) {
            self.text.push(b',');
        }
        Writer { text: self.text }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(self.next())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        let mut writer = self.next();
        writer.name(name);
        value.serialize(writer)
    }

    fn finish(self) {
        self.text.extend_from_slice(self.end.as_bytes());
    }
}

/// The shapes that serde knows, which JSON does not.
macro_rules! members {
    ($($shape:ident::$method:ident($($name:ident)?) by $to:ident),* $(,)?) => {
        $(impl $shape for Members<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), Error> {
                self.$to($($name,)? value)
            }

            fn end(self) -> Result<(), Error> {
                self.finish();
                Ok(())
            }
        })*
    };
}

members! {
    SerializeSeq::serialize_element() by element,
    SerializeTuple::serialize_element() by element,
    SerializeTupleStruct::serialize_field() by element,
    SerializeTupleVariant::serialize_field() by element,
    SerializeStruct::serialize_field(name) by field,
    SerializeStructVariant::serialize_field(name) by field,
}

impl SerializeMap for Members<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let writer = self.next();
        let start = writer.text.len();
        key.serialize(writer)?;
        match self.text.get(start) {
            Some(b'"') => {}
            // Numbers, true and false.
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
                self.text.insert(start, b'"');
                self.text.push(b'"');
            }
            _ => return Err(Error::custom("a key that is no text")),
        }
        self.text.push(b':');
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Writer { text: self.text })
    }

    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection, prelude::*};

    use super::*;

    /// All that serde knows.
    #[derive(Clone, Debug, Serialize)]
    enum Tree {
        Unit,
        Newtype(Box<Tree>),
        Tuple(u8, Box<Tree>),
        Struct { first: i16, second: Box<Tree> },
        Plain(Leaf),
        Many(Vec<Tree>),
        Named(BTreeMap<String, Tree>),
        Numbered(BTreeMap<i16, bool>, BTreeMap<bool, u64>),
        Pair((Box<Tree>, char)),
        Maybe(Option<Box<Tree>>),
        Flat(Flat),
    }

    #[derive(Clone, Debug, Serialize)]
    #[serde(untagged)]
    enum Leaf {
        Bool(bool),
        Unsigned(u64),
        Signed(i64),
        Float(f64),
        Text(String),
        Bytes(Vec<u8>),
        Shown(#[serde(serialize_with = "shown")] String),
        Nothing(Empty, Wrapped, Twice),
    }

    #[derive(Clone, Debug, Serialize)]
    struct Empty;

    #[derive(Clone, Debug, Serialize)]
    struct Wrapped(u32);

    #[derive(Clone, Debug, Serialize)]
    struct Twice(i8, u128);

    #[derive(Clone, Debug, Serialize)]
    #[serde(tag = "type", rename = "flat")]
    struct Flat {
        #[serde(flatten)]
        inner: Inner,
        #[serde(skip_serializing_if = "Option::is_none")]
        left_out: Option<u32>,
        last: Option<f32>,
    }

    #[derive(Clone, Debug, Serialize)]
    struct Inner {
        text: String,
        number: Option<u32>,
    }

    fn shown<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{text}/{}", text.len()))
    }

    fn leaf() -> impl Strategy<Value = Leaf> {
        // What is to be escaped is rare in any text.
        let text =
            || prop_oneof!["[ -~]{0,40}", ".{0,20}", "[a-z]{0,9}[\u{0}-\u{1f}\"\\\\\u{7f}-\u{9f}\u{202e}][a-z]{0,9}"];
        prop_oneof![
            any::<bool>().prop_map(Leaf::Bool),
            any::<u64>().prop_map(Leaf::Unsigned),
            any::<i64>().prop_map(Leaf::Signed),
            any::<f64>().prop_map(Leaf::Float),
            text().prop_map(Leaf::Text),
            collection::vec(any::<u8>(), 0..4).prop_map(Leaf::Bytes),
            text().prop_map(Leaf::Shown),
            any::<(u32, i8, u128)>().prop_map(|(one, two, three)| Leaf::Nothing(
                Empty,
                Wrapped(one),
                Twice(two, three)
            )),
        ]
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let flat = (".{0,9}", any::<Option<u32>>(), any::<Option<u32>>(), any::<Option<f32>>());
        let flat =
            flat.prop_map(|(text, number, left_out, last)| Flat { inner: Inner { text, number }, left_out, last });
        let numbered = (
            collection::btree_map(any::<i16>(), any::<bool>(), 0..3),
            collection::btree_map(any::<bool>(), any::<u64>(), 0..3),
        );
        let numbered = numbered.prop_map(|(by_number, by_bool)| Tree::Numbered(by_number, by_bool));
        let alone = prop_oneof![numbered, Just(Tree::Unit), leaf().prop_map(Tree::Plain), flat.prop_map(Tree::Flat)];
        alone.prop_recursive(4, 40, 6, |inner| {
            let boxed = inner.clone().prop_map(Box::new);
            prop_oneof![
                boxed.clone().prop_map(Tree::Newtype),
                (any::<u8>(), boxed.clone()).prop_map(|(number, tree)| Tree::Tuple(number, tree)),
                (any::<i16>(), boxed.clone()).prop_map(|(first, second)| Tree::Struct { first, second }),
                (boxed.clone(), any::<char>()).prop_map(Tree::Pair),
                proptest::option::of(boxed).prop_map(Tree::Maybe),
                collection::vec(inner.clone(), 0..6).prop_map(Tree::Many),
                collection::btree_map(".{0,6}", inner, 0..6).prop_map(Tree::Named),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_serde_json_writes(tree in tree()) {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            write(&mut ours, &tree).unwrap();
            tree.serialize(&mut serde_json::Serializer::with_formatter(&mut theirs, Visible)).unwrap();
            prop_assert_eq!(String::from_utf8(ours).unwrap(), String::from_utf8(theirs).unwrap());
        }
    }

    #[test]
    fn a_key_that_is_no_text_is_refused() {
        let map = BTreeMap::from([((1, 1), 2)]);
        assert_eq!(write(&mut Vec::new(), &map).unwrap_err().to_string(), "a key that is no text");
    }
}
