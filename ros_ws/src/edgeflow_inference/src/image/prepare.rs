//! From a frame to the graph's input, as the bundle's manifest describes it: convert, resize, scale, lay out.
//!
//! A resized frame has whole grey levels again, as one resized by OpenCV or Pillow has: that is what models were trained
//! on. In between, pixels are floats, so that the two passes of a resize round once and not twice.

use edgeflow_bundle::{Filter, InputSpec, Layout, ResizeMode};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, F32x3, InnerPixel};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

use super::CheckedFrame;
use super::convert::to_encoding;
use crate::tensor::{Data, Tensor};
use crate::{Error, Result};

/// Turns frames into one graph input.
#[derive(Clone, Debug)]
pub struct Preparer {
    input: InputSpec,
    tensor: String,
}

/// Buffers and tables kept from frame to frame.
#[derive(Default)]
pub struct Scratch {
    resizer: Resizer,
}

impl Preparer {
    /// For a manifest's input that feeds the graph input `tensor`.
    pub fn new(input: InputSpec, tensor: impl Into<String>) -> Self {
        Self { input, tensor: tensor.into() }
    }

    /// What the manifest says.
    pub fn input(&self) -> &InputSpec {
        &self.input
    }

    /// The graph input that is fed.
    pub fn tensor(&self) -> &str {
        &self.tensor
    }

    /// The input tensor of a frame: float32, `[1, h * w * c]`, `[1, c, h, w]` or `[1, h, w, c]`.
    ///
    /// # Errors
    /// [`Error::Image`] when the resize fails.
    pub fn prepare(&self, frame: &CheckedFrame<'_>, scratch: &mut Scratch) -> Result<Tensor> {
        let pixels = to_encoding(frame, self.input.encoding);
        let (width, height) = self.input.resize.map_or((frame.width, frame.height), |r| (r.width as usize, r.height as usize));
        let channels = self.input.encoding.channels();
        // One channel or three: the manifest's encodings have no other number.
        let values = if channels == 1 {
            let source = pixels.iter().map(|p| F32::new(f32::from(*p))).collect();
            self.normalise(self.resize(source, frame, scratch)?.into_iter().map(|p| [p.0]))
        } else {
            let source = pixels.as_chunks::<3>().0.iter().map(|p| F32x3::new(p.map(f32::from))).collect();
            self.normalise(self.resize(source, frame, scratch)?.into_iter().map(|p| p.0))
        };
        let (w, h, c) = (width as i64, height as i64, channels as i64);
        let shape = match self.input.layout {
            Layout::Flat => vec![1, h * w * c],
            Layout::Nchw => vec![1, c, h, w],
            Layout::Nhwc => vec![1, h, w, c],
        };
        Tensor::new(self.tensor.clone(), shape, Data::F32(values))
    }

    /// Resizes one image of float pixels, when the manifest asks for it and the frame has another size.
    fn resize<P: InnerPixel + PixelTrait + Default>(
        &self,
        source: Vec<P>,
        frame: &CheckedFrame<'_>,
        scratch: &mut Scratch,
    ) -> Result<Vec<P>> {
        let Some(want) = self.input.resize else { return Ok(source) };
        if (want.width as usize, want.height as usize) == (frame.width, frame.height) {
            return Ok(source);
        }
        let failed =
            |e: &dyn std::fmt::Display| Error::Image { reason: format!("cannot resize it to {} x {}: {e}", want.width, want.height) };
        let algorithm = match want.filter {
            Filter::Nearest => ResizeAlg::Nearest,
            Filter::Box => ResizeAlg::Convolution(FilterType::Box),
            Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        };
        let options = match want.mode {
            ResizeMode::Stretch => ResizeOptions::new().resize_alg(algorithm).use_alpha(false),
        };
        let mut target = vec![P::default(); want.width as usize * want.height as usize];
        let from = TypedImageRef::new(frame.width as u32, frame.height as u32, &source).map_err(|e| failed(&e))?;
        let mut to = TypedImage::from_pixels_slice(want.width, want.height, &mut target).map_err(|e| failed(&e))?;
        scratch.resizer.resize_typed(&from, &mut to, &options).map_err(|e| failed(&e))?;
        Ok(target)
    }

    /// The pixel, back on a whole level when it was resized.
    fn level(&self, pixel: f32) -> f32 {
        // Halves round up. A mean that is a half exactly may come out a little below it in floats, hence the allowance;
        // other means of 8-bit pixels are farther away than that for areas of less than 64 x 64.
        const ALLOWANCE: f32 = 1.0 / 8192.0;
        if self.input.resize.is_some() { (pixel + (0.5 + ALLOWANCE)).floor().clamp(0.0, 255.0) } else { pixel }
    }

    /// Scales the pixels and lays them out.
    fn normalise<const C: usize>(&self, pixels: impl ExactSizeIterator<Item = [f32; C]>) -> Vec<f32> {
        // ((pixel or 255 - pixel) * scale - mean) / std
        let value = |pixel: f32, mean: f32, std: f32| {
            let pixel = self.level(pixel);
            let pixel = if self.input.invert { 255.0 - pixel } else { pixel };
            (pixel * self.input.scale - mean) / std
        };
        let mean: [f32; C] = std::array::from_fn(|c| self.input.mean_of(c));
        let std: [f32; C] = std::array::from_fn(|c| self.input.std_of(c));
        let area = pixels.len();
        let mut out = vec![0.0; area * C];
        match self.input.layout {
            Layout::Flat | Layout::Nhwc => {
                for (to, pixel) in out.as_chunks_mut::<C>().0.iter_mut().zip(pixels) {
                    for c in 0..C {
                        to[c] = value(pixel[c], mean[c], std[c]);
                    }
                }
            }
            Layout::Nchw => {
                for (i, pixel) in pixels.enumerate() {
                    for c in 0..C {
                        out[c * area + i] = value(pixel[c], mean[c], std[c]);
                    }
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::Frame;
    use super::*;
    use edgeflow_bundle::Manifest;

    fn preparer(input: &str) -> Preparer {
        let manifest = Manifest::parse(&format!("v: 1\ninput: {input}\n")).unwrap();
        Preparer::new(manifest.input.unwrap(), "X")
    }

    fn prepare(input: &str, width: u32, height: u32, encoding: &str, data: &[u8]) -> (Vec<i64>, Vec<f32>) {
        let frame = Frame { width, height, step: data.len() as u32 / height, encoding, is_bigendian: false, data };
        let tensor = preparer(input).prepare(&frame.check().unwrap(), &mut Scratch::default()).unwrap();
        let Data::F32(values) = tensor.data else { panic!("not f32") };
        (tensor.shape, values)
    }

    #[test]
    fn box_resize_is_the_mean_over_the_area_on_whole_levels() {
        // 96 x 96 to 8 x 8, as the digits are read: each cell is the mean of 12 x 12 pixels, halves rounded up.
        let data: Vec<u8> = (0..96 * 96u32).map(|i| (i * i % 257) as u8).collect();
        let input = "{encoding: mono8, resize: {width: 8, height: 8, filter: box}, layout: flat}";
        let (shape, values) = prepare(input, 96, 96, "mono8", &data);
        assert_eq!(shape, [1, 64]);
        for (cell, value) in values.iter().enumerate() {
            let (x0, y0) = (cell % 8 * 12, cell / 8 * 12);
            let sum: u32 = (0..144).map(|i| u32::from(data[(y0 + i / 12) * 96 + x0 + i % 12])).sum();
            assert_eq!(*value, ((sum + 72) / 144) as f32, "cell {cell}");
        }
        // Every sum a cell can have near a half, exact halves included.
        for extra in 0..144 {
            let data: Vec<u8> = (0..144).map(|i| 100 + u8::from(i < extra)).collect();
            let (_, values) = prepare(&input.replace('8', "1").replace("mono1", "mono8"), 12, 12, "mono8", &data);
            assert_eq!(values, [if extra < 72 { 100.0 } else { 101.0 }], "{extra}");
        }
    }

    #[test]
    fn a_box_that_does_not_divide_the_frame_weighs_by_area() {
        let (_, values) =
            prepare("{encoding: mono8, resize: {width: 2, height: 1, filter: box}, layout: flat}", 3, 1, "mono8", &[10, 20, 60]);
        // Pillow's box: a pixel counts for the cell its centre is nearest to.
        assert_eq!(values.len(), 2);
        assert!(values[0] >= 10.0 && values[0] <= 20.0 && values[1] >= 20.0 && values[1] <= 60.0, "{values:?}");
        let (_, one) = prepare("{encoding: mono8, resize: {width: 1, height: 1, filter: box}, layout: flat}", 3, 1, "mono8", &[10, 20, 60]);
        assert_eq!(one, [30.0]);
    }

    #[test]
    fn layouts_and_channel_order() {
        // Two pixels: (1, 2, 3) and (4, 5, 6) in rgb.
        let data = [1, 2, 3, 4, 5, 6];
        let case = |encoding: &str, layout: &str| prepare(&format!("{{encoding: {encoding}, layout: {layout}}}"), 2, 1, "rgb8", &data);
        assert_eq!(case("rgb8", "nhwc"), (vec![1, 1, 2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(case("rgb8", "nchw"), (vec![1, 3, 1, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        assert_eq!(case("bgr8", "nchw"), (vec![1, 3, 1, 2], vec![3.0, 6.0, 2.0, 5.0, 1.0, 4.0]));
        assert_eq!(case("rgb8", "flat"), (vec![1, 6], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(case("mono8", "flat"), (vec![1, 2], vec![2.0, 5.0]));
    }

    #[test]
    fn pixels_are_inverted_then_scaled_then_centred_per_channel() {
        let input = "{encoding: rgb8, layout: nchw, scale: 0.5, mean: [1.0, 2.0, 3.0], std: [1.0, 2.0, 4.0], invert: true}";
        let (_, values) = prepare(input, 1, 1, "rgb8", &[255, 253, 55]);
        assert_eq!(values, [-1.0, -0.5, 24.25]);
    }

    #[test]
    fn padding_between_rows_is_not_seen() {
        let padded = [1, 2, 99, 3, 4, 99];
        let frame = Frame { width: 2, height: 2, step: 3, encoding: "mono8", is_bigendian: false, data: &padded };
        let tensor = preparer("{encoding: mono8, layout: nchw}").prepare(&frame.check().unwrap(), &mut Scratch::default()).unwrap();
        assert_eq!(tensor.data, Data::F32(vec![1.0, 2.0, 3.0, 4.0]));
    }

    #[test]
    fn enlarging_and_every_filter_keep_a_flat_image_flat() {
        for filter in ["nearest", "box", "bilinear"] {
            let input = format!("{{encoding: rgb8, resize: {{width: 7, height: 5, filter: {filter}}}, layout: nhwc}}");
            let (shape, values) = prepare(&input, 3, 4, "rgb8", &[77; 36]);
            assert_eq!(shape, [1, 5, 7, 3]);
            assert!(values.iter().all(|v| (v - 77.0).abs() < 1e-4), "{filter}: {values:?}");
        }
    }
}
