//! From a frame to the graph's input, as the bundle's manifest describes it: convert, resize, scale, lay out.
//!
//! Pixels of 8 bits stay 8 bits through the resize, as in OpenCV and Pillow, which models were trained with, so that
//! scaling is a look-up of one of 256 values. Wider ones are floats from the beginning.

use edgeflow_bundle::{Encoding, Filter, ImageSpec, Layout, PixelType};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, InnerPixel, U8, U8x3, U8x4};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use half::f16;

use super::convert::{Pixels, to_8_bits, to_floats};
use super::placement::Rect;
use super::shrink::block_means;
use super::{CheckedFrame, Placement};
use crate::tensor::{Data, ElementType, Tensor, TensorSpec};
use crate::{Error, Result};

/// Turns frames into one graph input.
#[derive(Clone, Debug)]
pub struct Preparer {
    input: ImageSpec,
    tensor: String,
    levels: Levels,
}

/// Buffers and tables kept from frame to frame.
#[derive(Default)]
pub struct Scratch {
    resizer: Resizer,
}

/// A frame as the graph's input.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// `[1, h * w * c]`, `[1, c, h, w]` or `[1, h, w, c]`.
    pub tensor: Tensor,
    /// Where the frame is in it.
    pub placement: Placement,
}

/// What each of the 256 levels of each channel becomes, in the graph's type.
#[derive(Clone, Debug)]
enum Levels {
    F32(Vec<[f32; 256]>),
    F16(Vec<[f16; 256]>),
    U8(Vec<[u8; 256]>),
    I8(Vec<[i8; 256]>),
}

/// An element type a pixel becomes.
trait Element: Copy + Default {
    /// The nearest there is.
    fn of(value: f32) -> Self;
    fn data(values: Vec<Self>) -> Data;
}

impl Element for f32 {
    fn of(value: f32) -> Self {
        value
    }
    fn data(values: Vec<Self>) -> Data {
        Data::F32(values)
    }
}

impl Element for f16 {
    fn of(value: f32) -> Self {
        Self::from_f32(value)
    }
    fn data(values: Vec<Self>) -> Data {
        Data::F16(values)
    }
}

impl Element for u8 {
    fn of(value: f32) -> Self {
        value.round_ties_even() as u8
    }
    fn data(values: Vec<Self>) -> Data {
        Data::U8(values)
    }
}

impl Element for i8 {
    fn of(value: f32) -> Self {
        value.round_ties_even() as i8
    }
    fn data(values: Vec<Self>) -> Data {
        Data::I8(values)
    }
}

impl Preparer {
    /// For a manifest's input that feeds the graph input `spec`.
    ///
    /// # Errors
    /// [`Error::NoImageInput`] when no image becomes a tensor of the graph's type.
    pub fn new(input: ImageSpec, spec: &TensorSpec) -> Result<Self> {
        let dtype = match spec.element_type {
            Some(ElementType::F32) => PixelType::Float32,
            Some(ElementType::F16) => PixelType::Float16,
            Some(ElementType::U8) => PixelType::Uint8,
            Some(ElementType::I8) => PixelType::Int8,
            _ => {
                let reason = format!("an image becomes a tensor of {}, but the graph wants {}", PixelType::NAMES, spec.type_name);
                return Err(Error::NoImageInput { reason });
            }
        };
        let levels = match dtype {
            PixelType::Float32 => Levels::F32(levels(&input)),
            PixelType::Float16 => Levels::F16(levels(&input)),
            PixelType::Uint8 => Levels::U8(levels(&input)),
            PixelType::Int8 => Levels::I8(levels(&input)),
        };
        Ok(Self { input, tensor: spec.name.clone(), levels })
    }

    /// What the manifest says.
    pub fn input(&self) -> &ImageSpec {
        &self.input
    }

    /// The graph input that is fed.
    pub fn tensor(&self) -> &str {
        &self.tensor
    }

    /// The input tensor of a frame.
    ///
    /// # Errors
    /// [`Error::Image`] when the conversion or the resize fails.
    pub fn prepare(&self, frame: &CheckedFrame<'_>, scratch: &mut Scratch) -> Result<Prepared> {
        let placement = Placement::new(self.input.resize.as_ref(), frame.width, frame.height);
        let data = match &self.levels {
            Levels::F32(levels) => self.filled(levels, frame, &placement, scratch)?,
            Levels::F16(levels) => self.filled(levels, frame, &placement, scratch)?,
            Levels::U8(levels) => self.filled(levels, frame, &placement, scratch)?,
            Levels::I8(levels) => self.filled(levels, frame, &placement, scratch)?,
        };
        let (w, h, c) = (placement.input.0 as i64, placement.input.1 as i64, self.input.encoding.channels() as i64);
        let shape = match self.input.layout {
            Layout::Flat => vec![1, h * w * c],
            Layout::Nchw => vec![1, c, h, w],
            Layout::Nhwc => vec![1, h, w, c],
        };
        Ok(Prepared { tensor: Tensor::new(self.tensor.clone(), shape, data)?, placement })
    }

    /// The tensor's elements: the frame where it lies, and border around it.
    fn filled<T: Element>(&self, levels: &[[T; 256]], frame: &CheckedFrame<'_>, at: &Placement, scratch: &mut Scratch) -> Result<Data> {
        let channels = self.input.encoding.channels();
        let mut out = Vec::new();
        if at.has_border() {
            let pad = self.input.resize.and_then(|r| r.pad_value).unwrap_or(114.0);
            let border: Vec<T> = (0..channels).map(|c| T::of(value_of(&self.input, c, pad))).collect();
            let area = at.input.0 * at.input.1;
            match self.input.layout {
                Layout::Nchw => border.iter().for_each(|value| out.extend(std::iter::repeat_n(*value, area))),
                Layout::Flat | Layout::Nhwc => out.extend(border.iter().copied().cycle().take(area * channels)),
            }
        } else {
            out.resize(at.input.0 * at.input.1 * channels, T::default());
        }
        if matches!(self.input.encoding, Encoding::Mono16 | Encoding::Float32) {
            let floats: Vec<F32> = to_floats(frame, self.input.encoding).into_iter().map(F32::new).collect();
            let floats = if at.is_identity() { floats } else { self.resized_floats(&floats, at, scratch)? };
            lay_out(&floats, |p| [T::of(value_of(&self.input, 0, p.0))], at, self.input.layout, &mut out);
            return Ok(T::data(out));
        }
        let pixels = to_8_bits(frame, self.input.encoding)?;
        match pixels.channels {
            1 => self.look_up::<U8, 1, T>(&pixels, levels, at, scratch, &mut out)?,
            3 => self.look_up::<U8x3, 3, T>(&pixels, levels, at, scratch, &mut out)?,
            _ => self.look_up::<U8x4, 4, T>(&pixels, levels, at, scratch, &mut out)?,
        }
        Ok(T::data(out))
    }

    /// Resizes pixels of `S` channels and looks up what their levels become.
    fn look_up<P: PixelTrait + InnerPixel, const S: usize, T: Element>(
        &self,
        pixels: &Pixels<'_>,
        levels: &[[T; 256]],
        at: &Placement,
        scratch: &mut Scratch,
        out: &mut [T],
    ) -> Result<()> {
        let resized = if at.is_identity() { None } else { Some(self.resized_levels::<P, S>(&pixels.data, at, scratch)?) };
        let resized = resized.as_deref().unwrap_or_else(|| pixels.data.as_chunks::<S>().0);
        let [a, b, c] = pixels.order.map(|channel| channel.min(S - 1));
        match levels {
            [first, second, third] => {
                let value = |p: &[u8; S]| [first[usize::from(p[a])], second[usize::from(p[b])], third[usize::from(p[c])]];
                lay_out(resized, value, at, self.input.layout, out);
            }
            [only, ..] => lay_out(resized, |p: &[u8; S]| [only[usize::from(p[a])]], at, self.input.layout, out),
            [] => {}
        }
        Ok(())
    }

    fn resized_levels<P: PixelTrait + InnerPixel, const S: usize>(
        &self,
        pixels: &[u8],
        at: &Placement,
        scratch: &mut Scratch,
    ) -> Result<Vec<[u8; S]>> {
        let (width, height) = (at.target.width, at.target.height);
        if let (true, Some((across, down))) = (self.filter() == Filter::Box, at.whole_blocks()) {
            let (left, top) = (at.source.left as usize, at.source.top as usize);
            let rows = pixels.as_chunks::<S>().0.chunks_exact(at.frame.0).skip(top).take(height * down);
            let mut out = Vec::with_capacity(width * height);
            block_means(rows.map(|row| &row[left..left + width * across]), across, down, &mut out);
            return Ok(out);
        }
        let mut out = vec![[0; S]; width * height];
        let from = TypedImageRef::<P>::from_buffer(at.frame.0 as u32, at.frame.1 as u32, pixels).map_err(|e| failed(at, &e))?;
        let mut to = TypedImage::<P>::from_buffer(width as u32, height as u32, out.as_flattened_mut()).map_err(|e| failed(at, &e))?;
        scratch.resizer.resize_typed(&from, &mut to, &self.options(at)).map_err(|e| failed(at, &e))?;
        Ok(out)
    }

    fn resized_floats(&self, pixels: &[F32], at: &Placement, scratch: &mut Scratch) -> Result<Vec<F32>> {
        let mut out = vec![F32::new(0.0); at.target.width * at.target.height];
        let from = TypedImageRef::new(at.frame.0 as u32, at.frame.1 as u32, pixels).map_err(|e| failed(at, &e))?;
        let to = TypedImage::from_pixels_slice(at.target.width as u32, at.target.height as u32, &mut out);
        scratch.resizer.resize_typed(&from, &mut to.map_err(|e| failed(at, &e))?, &self.options(at)).map_err(|e| failed(at, &e))?;
        Ok(out)
    }

    fn filter(&self) -> Filter {
        self.input.resize.map(|resize| resize.filter).unwrap_or_default()
    }

    fn options(&self, at: &Placement) -> ResizeOptions {
        let algorithm = match self.filter() {
            Filter::Nearest => ResizeAlg::Nearest,
            Filter::Box => ResizeAlg::Convolution(FilterType::Box),
            Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Filter::Linear => ResizeAlg::Interpolation(FilterType::Bilinear),
            Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        };
        let Rect { left, top, width, height } = at.source;
        ResizeOptions::new().resize_alg(algorithm).use_alpha(false).crop(left, top, width, height)
    }
}

fn failed(at: &Placement, error: &dyn std::fmt::Display) -> Error {
    let ((w, h), (tw, th)) = (at.frame, (at.target.width, at.target.height));
    Error::Image { reason: format!("{w} x {h} pixels cannot be resized to {tw} x {th}: {error}") }
}

/// What a pixel's channel becomes: `((pixel or full scale - pixel) * scale - mean) / std`.
fn value_of(input: &ImageSpec, channel: usize, pixel: f32) -> f32 {
    let pixel = match input.encoding.full_scale() {
        Some(full) if input.invert => full - pixel,
        _ => pixel,
    };
    (pixel * input.scale - input.mean_of(channel)) / input.std_of(channel)
}

/// A table for each channel.
fn levels<T: Element>(input: &ImageSpec) -> Vec<[T; 256]> {
    let table = |channel| std::array::from_fn(|level| T::of(value_of(input, channel, level as f32)));
    (0..input.encoding.channels()).map(table).collect()
}

/// Writes the pixels of the frame's part of a tensor in the order of its layout.
fn lay_out<P, T: Copy, const C: usize>(pixels: &[P], value: impl Fn(&P) -> [T; C], at: &Placement, layout: Layout, out: &mut [T]) {
    let (input_width, area) = (at.input.0, at.input.0 * at.input.1);
    let rows = pixels.chunks_exact(at.target.width).take(at.target.height).enumerate();
    let first = |y: usize| (at.target.top + y) * input_width + at.target.left;
    match layout {
        Layout::Flat | Layout::Nhwc => {
            let out = out.as_chunks_mut::<C>().0;
            for (y, row) in rows {
                for (to, pixel) in out[first(y)..].iter_mut().zip(row) {
                    *to = value(pixel);
                }
            }
        }
        Layout::Nchw => {
            let mut planes = out.chunks_exact_mut(area);
            let mut planes: [&mut [T]; C] = std::array::from_fn(|_| planes.next().unwrap_or_default());
            for (y, row) in rows {
                let mut to = planes.each_mut().map(|plane| plane[first(y)..].iter_mut());
                for pixel in row {
                    for (to, value) in to.iter_mut().zip(value(pixel)) {
                        if let Some(to) = to.next() {
                            *to = value;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Frame;
    use super::*;
    use edgeflow_bundle::Manifest;

    fn preparer(input: &str, element_type: ElementType) -> Preparer {
        let manifest = Manifest::parse(&format!("v: 1\ninput: {input}\n")).unwrap();
        let spec = TensorSpec {
            name: "X".into(),
            element_type: Some(element_type),
            type_name: element_type.to_string(),
            shape: vec![],
            rank_known: false,
        };
        Preparer::new(manifest.input.unwrap().image().unwrap().clone(), &spec).unwrap()
    }

    fn prepared(input: &str, element_type: ElementType, width: u32, height: u32, encoding: &str, data: &[u8]) -> Tensor {
        let frame = Frame { width, height, step: data.len() as u32 / height, encoding, is_bigendian: false, data };
        preparer(input, element_type).prepare(&frame.check().unwrap(), &mut Scratch::default()).unwrap().tensor
    }

    fn prepare(input: &str, width: u32, height: u32, encoding: &str, data: &[u8]) -> (Vec<i64>, Vec<f32>) {
        let tensor = prepared(input, ElementType::F32, width, height, encoding, data);
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
        let preparer = preparer("{encoding: mono8, layout: nchw}", ElementType::F32);
        let prepared = preparer.prepare(&frame.check().unwrap(), &mut Scratch::default()).unwrap();
        assert_eq!(prepared.tensor.data, Data::F32(vec![1.0, 2.0, 3.0, 4.0]));
    }

    #[test]
    fn enlarging_and_every_filter_keep_a_flat_image_flat() {
        for filter in ["nearest", "box", "bilinear", "linear", "bicubic"] {
            let input = format!("{{encoding: rgb8, resize: {{width: 7, height: 5, filter: {filter}}}, layout: nhwc}}");
            let (shape, values) = prepare(&input, 3, 4, "rgb8", &[77; 36]);
            assert_eq!(shape, [1, 5, 7, 3]);
            assert!(values.iter().all(|v| (v - 77.0).abs() < 1e-4), "{filter}: {values:?}");
        }
    }

    #[test]
    fn a_letterboxed_frame_has_a_border_of_the_pad_value() {
        let input = "{encoding: rgb8, resize: {width: 4, height: 4, mode: letterbox, filter: nearest, pad_value: 10}, layout: LAYOUT, scale: 2.0, mean: [1, 2, 3]}";
        let data = [7; 4 * 2 * 3];
        let (shape, values) = prepare(&input.replace("LAYOUT", "nchw"), 4, 2, "bgr8", &data);
        assert_eq!(shape, [1, 3, 4, 4]);
        let plane = |mean: f32| [vec![20.0 - mean; 4], vec![14.0 - mean; 8], vec![20.0 - mean; 4]].concat();
        assert_eq!(values, [plane(1.0), plane(2.0), plane(3.0)].concat());
        let (_, values) = prepare(&input.replace("LAYOUT", "nhwc"), 4, 2, "bgr8", &data);
        assert_eq!(values, [[19.0, 18.0, 17.0].repeat(4), [13.0, 12.0, 11.0].repeat(8), [19.0, 18.0, 17.0].repeat(4)].concat());
        // The border has its default, and lies right of a frame that is anchored.
        let input = "{encoding: mono8, resize: {width: 3, height: 2, mode: letterbox, filter: nearest, anchor: top_left}, layout: nchw}";
        assert_eq!(prepare(input, 1, 1, "mono8", &[9]).1, [9.0, 9.0, 114.0, 9.0, 9.0, 114.0]);
    }

    #[test]
    fn a_cropped_frame_is_its_middle() {
        let input = "{encoding: mono8, resize: {width: 2, height: 2, mode: centre_crop, filter: FILTER}, layout: nchw}";
        #[rustfmt::skip]
        let data = [
            0, 1, 3, 5, 7, 0,
            0, 1, 3, 5, 7, 0,
            0, 9, 9, 20, 20, 0,
            0, 9, 9, 20, 20, 0,
        ];
        assert_eq!(prepare(&input.replace("FILTER", "box"), 6, 4, "mono8", &data).1, [2.0, 6.0, 9.0, 20.0]);
        assert_eq!(prepare(&input.replace("FILTER", "bilinear"), 6, 4, "mono8", &[50; 24]).1, [50.0; 4]);
    }

    #[test]
    fn an_encoding_of_colours_takes_the_channels_in_its_order() {
        // One red pixel among frames that are resized before their channels are put in order.
        for (encoding, pixel) in
            [("rgb8", &[200u8, 30, 0][..]), ("bgr8", &[0, 30, 200]), ("rgba8", &[200, 30, 0, 9]), ("bgra8", &[0, 30, 200, 9])]
        {
            let data = pixel.repeat(8);
            let case =
                |to: &str| prepare(&format!("{{encoding: {to}, resize: {{width: 1, height: 1}}, layout: nchw}}"), 4, 2, encoding, &data).1;
            assert_eq!(case("rgb8"), [200.0, 30.0, 0.0], "{encoding}");
            assert_eq!(case("bgr8"), [0.0, 30.0, 200.0], "{encoding}");
        }
        let grey = prepare("{encoding: rgb8, resize: {width: 1, height: 1}, layout: nchw}", 2, 1, "mono8", &[40, 40]).1;
        assert_eq!(grey, [40.0; 3]);
    }

    #[test]
    fn other_types_are_rounded_to_and_cut_off() {
        let data = [0, 100, 127, 255];
        let of = |input: &str, ty| prepared(&format!("{{encoding: mono8, layout: flat, {input}}}"), ty, 4, 1, "mono8", &data).data;
        assert_eq!(of("scale: 1.0", ElementType::U8), Data::U8(data.to_vec()));
        assert_eq!(of("scale: 2.0, mean: [10]", ElementType::U8), Data::U8(vec![0, 190, 244, 255]));
        assert_eq!(of("mean: [128]", ElementType::I8), Data::I8(vec![-128, -28, -1, 127]));
        assert_eq!(of("scale: 0.1", ElementType::F16), Data::F16([0.0, 10.0, 12.7, 25.5].map(f16::from_f32).to_vec()));
        assert_eq!(of("scale: 0.001", ElementType::I8), Data::I8(vec![0; 4]));
    }

    #[test]
    fn wide_pixels_keep_what_8_bits_would_lose() {
        let depth: Vec<u8> = [1000u16, 1001, 1002, 1003].iter().flat_map(|v| v.to_le_bytes()).collect();
        let case = |input: &str| prepared(&format!("{{{input}, layout: nchw}}"), ElementType::F32, 4, 1, "16UC1", &depth).data;
        assert_eq!(case("encoding: 32FC1, scale: 0.5"), Data::F32(vec![500.0, 500.5, 501.0, 501.5]));
        assert_eq!(case("encoding: mono16, invert: true"), Data::F32(vec![64535.0, 64534.0, 64533.0, 64532.0]));
        assert_eq!(case("encoding: mono16, resize: {width: 2, height: 1, filter: box}"), Data::F32(vec![1000.5, 1002.5]));
        let metres: Vec<u8> = [2.0f32, f32::NAN].iter().flat_map(|v| v.to_be_bytes()).collect();
        let frame = Frame { width: 2, height: 1, step: 8, encoding: "32FC1", is_bigendian: true, data: &metres };
        let preparer = preparer("{encoding: 32FC1, layout: nchw, scale: 0.5}", ElementType::F32);
        let prepared = preparer.prepare(&frame.check().unwrap(), &mut Scratch::default()).unwrap();
        assert_eq!(prepared.tensor.data, Data::F32(vec![1.0, 0.0]));
    }
}
