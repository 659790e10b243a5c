//! A frame with what a model made of it drawn in, for people: boxes with their classes, label images as a veil of colours, a
//! class as a line of text. RViz and rqt show pictures everywhere; `vision_msgs` only where a plugin is installed.

use std::convert::Infallible;

use embedded_graphics::mono_font::iso_8859_1::{FONT_6X13_BOLD, FONT_9X18_BOLD};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};

use crate::Result;
use crate::decode::{Decoded, Detection, LabelImage, Labels};
use crate::image::{CheckedFrame, rgb};

/// Colours of classes, in turn: those of Okabe and Ito that dark letters can be read on, and two more.
const COLOURS: [Rgb888; 8] = [
    Rgb888::new(230, 159, 0),
    Rgb888::new(86, 180, 233),
    Rgb888::new(0, 158, 115),
    Rgb888::new(240, 228, 66),
    Rgb888::new(170, 130, 255),
    Rgb888::new(213, 94, 0),
    Rgb888::new(204, 121, 167),
    Rgb888::new(255, 255, 255),
];

/// Frames at least this wide have the larger letters and lines.
const LARGE: usize = 480;

/// The frame as `rgb8`, row behind row, with what was decoded drawn in.
///
/// # Errors
/// [`crate::Error::Image`] when a conversion refuses the frame.
pub fn annotated(frame: &CheckedFrame<'_>, decoded: &Decoded, labels: &[String]) -> Result<Vec<u8>> {
    let mut canvas = Canvas { width: frame.width, height: frame.height, data: rgb(frame)? };
    match decoded {
        Decoded::Detections(found) => {
            // The best on top.
            for detection in found.iter().rev() {
                canvas.detection(detection, labels);
            }
        }
        Decoded::Classification(class) => {
            canvas.caption(&caption(&class.label, class.score), Point::zero(), colour(usize::try_from(class.class_id).unwrap_or(0)));
        }
        Decoded::Segmentation(image) => canvas.veil(image),
        Decoded::Tensors(_) => {}
    }
    Ok(canvas.data)
}

fn colour(class: usize) -> Rgb888 {
    COLOURS[class % COLOURS.len()]
}

fn caption(label: &str, score: f32) -> String {
    format!("{label} {score:.2}")
}

/// Pixels of `rgb8` that can be drawn on.
struct Canvas {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width as u32, self.height as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> std::result::Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y)) else { continue };
            if x < self.width
                && y < self.height
                && let Some(pixel) = self.data.as_chunks_mut::<3>().0.get_mut(y * self.width + x)
            {
                *pixel = [colour.r(), colour.g(), colour.b()];
            }
        }
        Ok(())
    }
}

impl Canvas {
    fn is_large(&self) -> bool {
        self.width >= LARGE
    }

    fn font(&self) -> &'static MonoFont<'static> {
        if self.is_large() { &FONT_9X18_BOLD } else { &FONT_6X13_BOLD }
    }

    fn detection(&mut self, detection: &Detection, labels: &[String]) {
        let Detection { class, score, corners } = *detection;
        // The pixels that the box touches.
        let [left, top] = [corners[0], corners[1]].map(|v| v.floor() as i32);
        let [right, bottom] = [corners[2], corners[3]].map(|v| (v.ceil() as i32 - 1).max(0));
        let area = Rectangle::with_corners(Point::new(left, top), Point::new(right, bottom));
        let stroke = PrimitiveStyle::with_stroke(colour(class), if self.is_large() { 2 } else { 1 });
        let Ok(()) = area.into_styled(stroke).draw(self);
        let label = labels.get(class).cloned().unwrap_or_else(|| class.to_string());
        // Above the box, else below it, else in it.
        let height = self.font().character_size.height as i32;
        let y = match (top >= height, bottom + height < self.height as i32) {
            (true, _) => top - height,
            (false, true) => bottom + 1,
            (false, false) => top,
        };
        self.caption(&caption(&label, score), Point::new(left, y), colour(class));
    }

    /// Dark letters on a field of a colour. Letters that the font lacks are question marks.
    fn caption(&mut self, text: &str, at: Point, colour: Rgb888) {
        let font = self.font();
        let size = Size::new(font.character_size.width * text.chars().count() as u32, font.character_size.height);
        // Moved left when it would leave the frame.
        let at = Point::new(at.x.min(self.width as i32 - size.width as i32).max(0), at.y);
        let Ok(()) = self.fill_solid(&Rectangle::new(at, size), colour);
        let Ok(_) = Text::with_baseline(text, at, MonoTextStyle::new(font, Rgb888::BLACK), Baseline::Top).draw(self);
    }

    /// Half the frame, half the colours of its classes; class 0 and pixels without a class are left as they are.
    fn veil(&mut self, image: &LabelImage) {
        let classes: Box<dyn Iterator<Item = Option<usize>>> = match &image.labels {
            Labels::U8(labels) => Box::new(labels.iter().map(|l| (*l != u8::MAX).then_some(usize::from(*l)))),
            Labels::U16(labels) => Box::new(labels.iter().map(|l| (*l != u16::MAX).then_some(usize::from(*l)))),
        };
        for (pixel, class) in self.data.as_chunks_mut::<3>().0.iter_mut().zip(classes) {
            if let Some(class) = class.filter(|class| *class > 0) {
                let colour = colour(class);
                *pixel = [(pixel[0], colour.r()), (pixel[1], colour.g()), (pixel[2], colour.b())].map(|(a, b)| u8::midpoint(a, b));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Frame;

    fn drawn(decoded: &Decoded, labels: &[String]) -> Vec<[u8; 3]> {
        let data = vec![10; 100 * 60];
        let frame = Frame { width: 100, height: 60, step: 100, encoding: "mono8", is_bigendian: false, data: &data };
        annotated(&frame.check().unwrap(), decoded, labels).unwrap().as_chunks::<3>().0.to_vec()
    }

    #[test]
    fn a_box_is_drawn_along_its_edges_with_its_caption_above() {
        let found = Decoded::Detections(vec![Detection { class: 1, score: 0.5, corners: [20.0, 30.0, 50.0, 50.5] }]);
        let pixels = drawn(&found, &["a".into(), "b".into()]);
        let at = |x: usize, y: usize| pixels[y * 100 + x];
        let blue = [86, 180, 233];
        for (x, y) in [(20, 30), (49, 30), (20, 50), (49, 50), (35, 30), (20, 40), (49, 40), (35, 50)] {
            assert_eq!(at(x, y), blue, "{x} {y}");
        }
        for (x, y) in [(19, 40), (50, 40), (35, 51), (35, 40), (21, 31)] {
            assert_eq!(at(x, y), [10; 3], "{x} {y}");
        }
        // "b 0.50" in 6 x 13: letters on a field.
        let caption: Vec<[u8; 3]> = (17..30).flat_map(|y| (20..56).map(move |x| (x, y))).map(|(x, y)| at(x, y)).collect();
        assert!(caption.iter().all(|p| *p == blue || *p == [0; 3]) && caption.contains(&[0; 3]));
        assert_eq!((at(19, 20), at(56, 20), at(30, 16)), ([10; 3], [10; 3], [10; 3]));
    }

    #[test]
    fn boxes_at_the_edges_stay_in_the_frame() {
        let found = Decoded::Detections(vec![
            Detection { class: 0, score: 1.0, corners: [0.0, 0.0, 100.0, 60.0] },
            Detection { class: 300, score: 1.0, corners: [99.5, 59.5, 100.0, 60.0] },
        ]);
        let pixels = drawn(&found, &[]);
        let orange = [230, 159, 0];
        assert_eq!((pixels[99 + 30 * 100], pixels[50 + 59 * 100], pixels[50 + 30 * 100]), (orange, orange, [10; 3]));
    }

    #[test]
    fn a_veil_lies_over_classes_but_the_first() {
        let mut labels = vec![0; 6000];
        labels[..3].copy_from_slice(&[1, 255, 2]);
        let pixels = drawn(&Decoded::Segmentation(LabelImage { width: 100, height: 60, labels: Labels::U8(labels) }), &[]);
        assert_eq!(pixels[..4], [[48, 95, 121], [10; 3], [5, 84, 62], [10; 3]]);
    }
}
