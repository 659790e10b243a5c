//! Features of images, as `inference_node` measures them on a camera's frames.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use edgeflow_drift::{IMAGE_FEATURES, channel_means, image_features, luma};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::refuse;
use super::table::{Column, Table};
use crate::error::CliError;

/// Means of the channels of images that have colours.
const COLOURS: [&str; 3] = ["red", "green", "blue"];
const UNIT: &str = "0..255";

/// The unit of a column that this program measured itself.
pub(super) fn unit(column: &str) -> &'static str {
    let ours = IMAGE_FEATURES.iter().any(|(name, _)| *name == column) || COLOURS.contains(&column);
    if ours { UNIT } else { "" }
}

/// The files that are named, and the images in the folders that are, by name.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let read = |source| CliError::Read { path: path.display().to_string(), source };
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(read)? {
            let file = entry.map_err(read)?.path();
            let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase());
            if matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg")) {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            return Err(refuse(path, "the folder has no .png and no .jpg"));
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

pub(super) fn png(path: &Path) -> Result<Table, CliError> {
    let read = |source| CliError::Read { path: path.display().to_string(), source };
    let mut decoder = png::Decoder::new(BufReader::new(File::open(path).map_err(read)?));
    // Palettes and fewer bits become 8-bit grey or colours.
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let wrong = |error: png::DecodingError| refuse(path, error.to_string());
    let mut reader = decoder.read_info().map_err(wrong)?;
    let size = reader.output_buffer_size().ok_or_else(|| refuse(path, "it is too large"))?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(wrong)?;
    let (width, height) = (info.width as usize, info.height as usize);
    let table = match info.color_type {
        // Grey with an alpha channel: the grey of it.
        png::ColorType::GrayscaleAlpha => {
            let grey: Vec<u8> = pixels.as_chunks::<2>().0.iter().map(|[grey, _]| *grey).collect();
            measure(&grey, width, height, 1)
        }
        other => measure(&pixels, width, height, other.samples()),
    };
    table.map(|values| one(&values)).map_err(CliError::from)
}

pub(super) fn jpeg(path: &Path) -> Result<Table, CliError> {
    let read = |source| CliError::Read { path: path.display().to_string(), source };
    let bytes = fs::read(path).map_err(read)?;
    let wrong = |error: String| refuse(path, error);
    let mut decoder = JpegDecoder::new(std::io::Cursor::new(&bytes));
    decoder.decode_headers().map_err(|error| wrong(error.to_string()))?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let space = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    let mut decoder = JpegDecoder::new_with_options(std::io::Cursor::new(&bytes), DecoderOptions::default().jpeg_set_out_colorspace(space));
    let pixels = decoder.decode().map_err(|error| wrong(error.to_string()))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| wrong("it has no size".to_owned()))?;
    Ok(one(&measure(&pixels, width, height, if grey { 1 } else { 3 })?))
}

/// Images one behind the other: images x rows x columns, and channels.
pub(super) fn stack(path: &Path, shape: &[usize], pixels: &[u8]) -> Result<Table, CliError> {
    let (width, height, channels) = match *shape {
        [_, height, width] => (width, height, 1),
        [_, height, width, channels @ (1 | 3 | 4)] => (width, height, channels),
        _ => return Err(refuse(path, format!("it has the shape {shape:?}; images are images x rows x columns, with 1, 3 or 4 channels"))),
    };
    let size = width * height * channels;
    if size == 0 {
        return Err(refuse(path, "its images have no pixels"));
    }
    let mut rows = Vec::new();
    for image in pixels.chunks_exact(size) {
        rows.push(measure(image, width, height, channels)?);
    }
    Ok(table(&rows))
}

/// Values of one image of 8 bits: those of [`IMAGE_FEATURES`] and, of colours, the channels' means.
fn measure(pixels: &[u8], width: usize, height: usize, channels: usize) -> edgeflow_drift::Result<Vec<f64>> {
    if channels == 1 {
        return Ok(image_features(pixels, width, height, width)?.values().to_vec());
    }
    let means = channel_means(pixels, width, height, width * channels, channels)?;
    let grey: Vec<u8> = pixels.chunks_exact(channels).map(|p| luma(p[0], p[1], p[2])).collect();
    let plain = image_features(&grey, width, height, width)?.values();
    Ok([&plain[..], &means[..3]].concat())
}

fn one(values: &[f64]) -> Table {
    table(&[values.to_vec()])
}

fn table(rows: &[Vec<f64>]) -> Table {
    let width = rows.first().map_or(0, Vec::len);
    let names = IMAGE_FEATURES.iter().map(|(name, _)| *name).chain(COLOURS).take(width);
    let column = |at: usize| Column::Numbers(rows.iter().map(|row| row[at]).collect());
    Table { columns: names.enumerate().map(|(at, name)| (name.to_owned(), column(at))).collect() }
}
