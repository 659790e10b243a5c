//! Columns out of .csv, .parquet and .npy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use npyz::{DType, NpyFile, TypeChar};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::{images, refuse};
use crate::error::CliError;

/// Columns of equal length.
#[derive(Default)]
pub(super) struct Table {
    pub(super) columns: Vec<(String, Column)>,
}

/// The values of a column, in the order of the rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    /// NaN where there is none.
    Numbers(Vec<f64>),
    /// Empty where there is none.
    Texts(Vec<String>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Column::Numbers(values) => values.len(),
            Column::Texts(texts) => texts.len(),
        }
    }

    fn append(&mut self, other: Column) -> bool {
        match (self, other) {
            (Column::Numbers(mine), Column::Numbers(more)) => mine.extend(more),
            (Column::Texts(mine), Column::Texts(more)) => mine.extend(more),
            _ => return false,
        }
        true
    }
}

impl Table {
    pub(super) fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    /// Puts the rows of a file behind those there are.
    pub(super) fn append(&mut self, file: &Path, other: Table) -> Result<(), CliError> {
        if self.columns.is_empty() {
            *self = other;
            return Ok(());
        }
        let names = |table: &Table| table.columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(", ");
        let (mine, theirs) = (names(self), names(&other));
        if mine != theirs {
            return Err(refuse(file, format!("it has {theirs}, where the files before have {mine}")));
        }
        for ((name, column), (_, more)) in self.columns.iter_mut().zip(other.columns) {
            if !column.append(more) {
                return Err(refuse(file, format!("column {name} is text in one file and numbers in another")));
            }
        }
        Ok(())
    }
}

/// The words of a text column in their order, and their places; a missing one is NaN.
pub(super) fn codes(texts: &[String]) -> (Vec<String>, Vec<f64>) {
    let words: BTreeSet<&String> = texts.iter().filter(|text| !text.is_empty()).collect();
    let place: BTreeMap<&String, f64> = words.iter().enumerate().map(|(place, word)| (*word, place as f64)).collect();
    let codes = texts.iter().map(|text| place.get(text).copied().unwrap_or(f64::NAN)).collect();
    (words.into_iter().cloned().collect(), codes)
}

/// Numbers if every value that is there is one, else text.
fn column(texts: Vec<String>) -> Column {
    let numbers: Option<Vec<f64>> =
        texts.iter().map(|text| if text.trim().is_empty() { Some(f64::NAN) } else { text.trim().parse().ok() }).collect();
    numbers.map_or(Column::Texts(texts), Column::Numbers)
}

/// A table with a line of names.
pub(super) fn csv(path: &Path) -> Result<Table, CliError> {
    let wrong = |error: csv::Error| refuse(path, error.to_string());
    let mut reader = csv::Reader::from_path(path).map_err(wrong)?;
    let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
    if let Some(number) = names.iter().find(|name| name.is_empty() || name.parse::<f64>().is_ok()) {
        return Err(refuse(path, format!("its first line must name the columns, but has {number:?}")));
    }
    let mut texts: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    for record in reader.records() {
        for (column, cell) in texts.iter_mut().zip(&record.map_err(wrong)?) {
            column.push(cell.to_owned());
        }
    }
    Ok(Table { columns: names.into_iter().zip(texts.into_iter().map(column)).collect() })
}

/// A table with columns of numbers, truth values and text.
pub(super) fn parquet(path: &Path) -> Result<Table, CliError> {
    let wrong = |error: parquet::errors::ParquetError| refuse(path, error.to_string());
    let file = File::open(path).map_err(|source| CliError::Read { path: path.display().to_string(), source })?;
    let reader = SerializedFileReader::new(file).map_err(wrong)?;
    let fields = reader.metadata().file_metadata().schema().get_fields();
    let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let mut columns: Vec<Option<Column>> = vec![None; names.len()];
    let mut rows = 0;
    for row in reader.get_row_iter(None).map_err(wrong)? {
        let row = row.map_err(wrong)?;
        for (column, (name, field)) in columns.iter_mut().zip(row.get_column_iter()) {
            let cell = cell(field).ok_or_else(|| refuse(path, format!("column {name} is neither numbers nor text: {field}")))?;
            match (column, cell) {
                (Some(Column::Numbers(values)), Cell::Number(value)) => values.push(value),
                (Some(Column::Numbers(values)), Cell::Missing) => values.push(f64::NAN),
                (Some(Column::Texts(texts)), Cell::Text(text)) => texts.push(text),
                (Some(Column::Texts(texts)), Cell::Missing) => texts.push(String::new()),
                // What a column is shows with its first value.
                (column @ None, Cell::Number(value)) => *column = Some(Column::Numbers(led(f64::NAN, rows, value))),
                (column @ None, Cell::Text(text)) => *column = Some(Column::Texts(led(String::new(), rows, text))),
                (None, Cell::Missing) => {}
                _ => return Err(refuse(path, format!("column {name} has numbers and text"))),
            }
        }
        rows += 1;
    }
    let columns = columns.into_iter().map(|column| column.unwrap_or_else(|| Column::Numbers(vec![f64::NAN; rows])));
    Ok(Table { columns: names.into_iter().zip(columns).collect() })
}

/// A value behind so many that are missing.
fn led<T: Clone>(missing: T, count: usize, value: T) -> Vec<T> {
    let mut values = vec![missing; count];
    values.push(value);
    values
}

enum Cell {
    Number(f64),
    Text(String),
    Missing,
}

fn cell(field: &Field) -> Option<Cell> {
    Some(match field {
        Field::Null => Cell::Missing,
        Field::Bool(value) => Cell::Number(f64::from(u8::from(*value))),
        Field::Byte(value) => Cell::Number(f64::from(*value)),
        Field::Short(value) => Cell::Number(f64::from(*value)),
        Field::Int(value) => Cell::Number(f64::from(*value)),
        Field::Long(value) => Cell::Number(*value as f64),
        Field::UByte(value) => Cell::Number(f64::from(*value)),
        Field::UShort(value) => Cell::Number(f64::from(*value)),
        Field::UInt(value) => Cell::Number(f64::from(*value)),
        Field::ULong(value) => Cell::Number(*value as f64),
        Field::Float16(value) => Cell::Number(value.to_f64()),
        Field::Float(value) => Cell::Number(f64::from(*value)),
        Field::Double(value) => Cell::Number(*value),
        Field::Str(value) => Cell::Text(value.clone()),
        _ => return None,
    })
}

/// Rows of numbers, named by their place; or images, when the numbers are uint8 in three or four dimensions.
pub(super) fn npy(path: &Path, name: &str) -> Result<Table, CliError> {
    let read = |source| CliError::Read { path: path.display().to_string(), source };
    let file = NpyFile::new(BufReader::new(File::open(path).map_err(read)?)).map_err(read)?;
    let shape: Vec<usize> = file.shape().iter().map(|d| *d as usize).collect();
    if file.order() == npyz::Order::Fortran && shape.len() > 1 {
        return Err(refuse(path, "its elements are in Fortran's order; save numpy.ascontiguousarray(...)"));
    }
    let DType::Plain(element) = file.dtype() else { return Err(refuse(path, "it has fields; save one array of numbers")) };
    if shape.len() >= 3 && element.type_char() == TypeChar::Uint && element.size_field() == 1 {
        return images::stack(path, &shape, &file.into_vec::<u8>().map_err(read)?);
    }
    let width = match shape[..] {
        [_] => 1,
        [_, width @ 1..=10_000] => width,
        _ => return Err(refuse(path, format!("it has the shape {shape:?}; a table is rows x elements, images are uint8"))),
    };
    let numbers = numbers(file, element.type_char(), element.size_field()).map_err(read)?;
    let numbers = numbers.ok_or_else(|| refuse(path, format!("its elements are {element}; numbers are wanted")))?;
    let named = |at: usize| if width == 1 { name.to_owned() } else { format!("{name}[{at}]") };
    let column = |at: usize| Column::Numbers(numbers.iter().skip(at).step_by(width).copied().collect());
    Ok(Table { columns: (0..width).map(|at| (named(at), column(at))).collect() })
}

/// The elements as floats; `None` when they are no numbers.
fn numbers(file: NpyFile<BufReader<File>>, kind: TypeChar, size: u64) -> std::io::Result<Option<Vec<f64>>> {
    macro_rules! floats {
        ($type:ty) => {
            file.into_vec::<$type>()?.into_iter().map(|x| x as f64).collect()
        };
    }
    Ok(Some(match (kind, size) {
        (TypeChar::Float, 4) => floats!(f32),
        (TypeChar::Float, 8) => floats!(f64),
        (TypeChar::Int, 1) => floats!(i8),
        (TypeChar::Int, 2) => floats!(i16),
        (TypeChar::Int, 4) => floats!(i32),
        (TypeChar::Int, 8) => floats!(i64),
        (TypeChar::Uint, 1) => floats!(u8),
        (TypeChar::Uint, 2) => floats!(u16),
        (TypeChar::Uint, 4) => floats!(u32),
        (TypeChar::Uint, 8) => floats!(u64),
        (TypeChar::Bool, _) => file.into_vec::<bool>()?.into_iter().map(|x| f64::from(u8::from(x))).collect(),
        _ => return Ok(None),
    }))
}
