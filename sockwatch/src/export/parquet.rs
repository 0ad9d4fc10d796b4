//! Apache Parquet: typed columns, compressed with Snappy, in groups of rows so that memory stays flat.
//!
//! Text is as in CSV, without the apostrophe: a database takes nothing for a formula. The footer's metadata holds the start
//! and summary lines of `trace --json`, as `sockwatch.start` (one line for each run) and `sockwatch.summary`.

use std::{
    io::{self, Write},
    marker::PhantomData,
    mem,
    sync::Arc,
};

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{ColumnPath, Type, TypePtr},
};

use super::column::{Column, Kind, Table, Value};
use crate::{
    event::Time,
    lifecycle::Life,
    output::{Format, Json, Occurrence, Scene, Start, Summary},
};

/// Rows of a group. Readers work on several groups at once; a group is what is held in memory until it is written.
const GROUP: usize = 65_536;

/// A table as Parquet. See the module's documentation.
pub(super) struct Parquet<T> {
    /// What is written of the file, and not yet handed on. None once it is whole.
    file: Option<SerializedFileWriter<Vec<u8>>>,
    columns: Vec<Cells>,
    rows: usize,
    group: usize,
    starts: Vec<u8>,
    table: PhantomData<T>,
}

impl<T: Table> Parquet<T> {
    pub(super) fn new() -> io::Result<Self> {
        Self::with_groups(GROUP)
    }

    /// One that writes a group as soon as it has so many rows.
    pub(super) fn with_groups(group: usize) -> io::Result<Self> {
        let file = SerializedFileWriter::new(Vec::new(), schema::<T>().map_err(broken)?, Arc::new(properties::<T>()));
        let columns = T::COLUMNS.iter().map(|column| Cells::new(column.kind)).collect();
        Ok(Self { file: Some(file.map_err(broken)?), columns, rows: 0, group, starts: Vec::new(), table: PhantomData })
    }

    fn row(&mut self, out: &mut dyn Write, scene: &Scene, row: Option<T::Row<'_>>) -> io::Result<()> {
        let Some(row) = row else { return Ok(()) };
        for (Column { get, .. }, cells) in T::COLUMNS.iter().zip(&mut self.columns) {
            cells.push(&get(&row), scene);
        }
        self.rows += 1;
        if self.rows >= self.group { self.write_group(out) } else { Ok(()) }
    }

    /// Writes the rows that wait.
    fn write_group(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| self.rows > 0) else { return Ok(()) };
        let mut group = file.next_row_group().map_err(broken)?;
        for cells in &mut self.columns {
            cells.write(&mut group).map_err(broken)?;
        }
        group.close().map_err(broken)?;
        self.rows = 0;
        file.flush()?;
        out.write_all(&mem::take(file.inner_mut()))
    }
}

impl<T: Table> Format for Parquet<T> {
    fn start(&mut self, _: &mut dyn Write, start: &Start) -> io::Result<()> {
        Json::new().start(&mut self.starts, start)
    }

    fn event(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life, what: Occurrence<'_>) -> io::Result<()> {
        self.row(out, scene, T::event(scene, life, what))
    }

    fn socket(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life) -> io::Result<()> {
        self.row(out, scene, T::socket(scene, life))
    }

    fn lost(
        &mut self,
        out: &mut dyn Write,
        scene: &Scene,
        count: Option<u64>,
        since: Time,
        until: Time,
    ) -> io::Result<()> {
        self.row(out, scene, T::lost(scene, count, (since, until)))
    }

    /// Writes the rest and the footer: without it the file can't be read.
    fn summary(&mut self, out: &mut dyn Write, summary: &Summary) -> io::Result<()> {
        self.write_group(out)?;
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let mut line = Vec::new();
        Json::new().summary(&mut line, summary)?;
        for (key, lines) in [("sockwatch.start", &self.starts), ("sockwatch.summary", &line)] {
            let text = String::from_utf8_lossy(lines).trim_end().to_owned();
            file.append_key_value_metadata(KeyValue::new(key.to_owned(), text));
        }
        out.write_all(&file.into_inner().map_err(broken)?)
    }
}

/// What the writer itself objects to: it writes to memory, so that no disk is behind it.
fn broken(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

fn schema<T: Table>() -> Result<TypePtr, ParquetError> {
    let fields: Result<Vec<TypePtr>, ParquetError> =
        T::COLUMNS.iter().map(|column| Ok(Arc::new(field(column)?))).collect();
    Ok(Arc::new(Type::group_type_builder("sockwatch").with_fields(fields?).build()?))
}

/// A column's type. Any may be null: readers want the same columns of every file.
fn field<T: Table>(column: &Column<T>) -> Result<Type, ParquetError> {
    let unsigned = |bit_width| Some(LogicalType::integer(bit_width, false));
    let (physical, logical) = match column.kind {
        Kind::Word | Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
        Kind::Nanoseconds => (Physical::INT64, None),
        Kind::U16 => (Physical::INT32, unsigned(16)),
        Kind::U32 => (Physical::INT32, unsigned(32)),
        Kind::U64 => (Physical::INT64, unsigned(64)),
        Kind::I32 => (Physical::INT32, None),
        Kind::Bool => (Physical::BOOLEAN, None),
    };
    Type::primitive_type_builder(column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}

fn properties<T: Table>() -> WriterProperties {
    let properties = WriterProperties::builder()
        .set_created_by(concat!("sockwatch ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::SNAPPY);
    let plain = |kind| matches!(kind, Kind::Time | Kind::Nanoseconds | Kind::U64 | Kind::Text);
    // A dictionary of values that do not repeat is work for nothing. Times follow on one another.
    T::COLUMNS
        .iter()
        .filter(|column| plain(column.kind))
        .fold(properties, |properties, column| {
            let path = ColumnPath::from(column.name);
            let properties = properties.set_column_dictionary_enabled(path.clone(), false);
            match column.kind {
                Kind::Time => properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
                _ => properties,
            }
        })
        .build()
}

/// The values of a column that wait to be written: those that are not null, and which are.
struct Cells {
    /// 1 for a value, 0 for null (Parquet's definition levels).
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Bool(Vec<bool>),
    /// All texts, and where each ends.
    Text(String, Vec<usize>),
}

impl Cells {
    fn new(kind: Kind) -> Self {
        let values = match kind {
            Kind::Word | Kind::Text => Values::Text(String::new(), Vec::new()),
            Kind::Time | Kind::Nanoseconds | Kind::U64 => Values::Int64(Vec::new()),
            Kind::U16 | Kind::U32 | Kind::I32 => Values::Int32(Vec::new()),
            Kind::Bool => Values::Bool(Vec::new()),
        };
        Self { levels: Vec::new(), values }
    }

    fn push(&mut self, value: &Value<'_>, scene: &Scene) {
        let pushed = self.values.push(value, scene);
        self.levels.push(pushed.is_some().into());
    }

    /// Writes and forgets them.
    fn write(&mut self, group: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<(), ParquetError> {
        let Some(mut column) = group.next_column()? else { return Ok(()) };
        let levels = Some(&self.levels[..]);
        match &mut self.values {
            Values::Int32(values) => {
                column.typed::<Int32Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Int64(values) => {
                column.typed::<Int64Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Bool(values) => {
                column.typed::<BoolType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Text(text, ends) => {
                let room = text.capacity();
                let text = Bytes::from(mem::replace(text, String::with_capacity(room)));
                let mut start = 0;
                let texts: Vec<ByteArray> =
                    ends.drain(..).map(|end| ByteArray::from(text.slice(mem::replace(&mut start, end)..end))).collect();
                column.typed::<ByteArrayType>().write_batch(&texts, levels, None)?;
            }
        }
        self.levels.clear();
        column.close()
    }
}

impl Values {
    /// Adds a value; nothing if it is null, or none that the column can hold.
    fn push(&mut self, value: &Value<'_>, scene: &Scene) -> Option<()> {
        match (self, value) {
            (_, Value::Null) => return None,
            // Unsigned integers are held in the bits of signed ones.
            (Self::Int32(values), Value::Integer(value)) => {
                values.push(i32::try_from(*value).or_else(|_| u32::try_from(*value).map(u32::cast_signed)).ok()?);
            }
            (Self::Int64(values), Value::Integer(value)) => {
                values.push(i64::try_from(*value).or_else(|_| u64::try_from(*value).map(u64::cast_signed)).ok()?);
            }
            (Self::Int64(values), Value::Time(time)) => {
                values.push(i64::try_from(scene.clock.nanoseconds(*time)).ok()?);
            }
            (Self::Bool(values), Value::Bool(value)) => values.push(*value),
            (Self::Text(text, ends), value) => {
                // A string takes whatever is written to it.
                let _ = value.write(text);
                ends.push(text.len());
            }
            _ => return None,
        }
        Some(())
    }
}
