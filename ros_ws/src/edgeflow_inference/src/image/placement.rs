//! Where a frame lies in the tensor that is made of it, and the way back: what a model says about its input is told to
//! the world in the frame's own pixels.

use edgeflow_bundle::{Anchor, Resize, ResizeMode};

/// Greatest block whose sum of bytes fits 32 bits.
const MAX_BLOCK: usize = 1 << 24;

/// Position and size in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect<T> {
    /// First column.
    pub left: T,
    /// First row.
    pub top: T,
    /// Columns.
    pub width: T,
    /// Rows.
    pub height: T,
}

/// The part of a frame that a model sees, and the part of its input where it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Width and height of the frame.
    pub frame: (usize, usize),
    /// Width and height of the model's input.
    pub input: (usize, usize),
    /// What is taken of the frame; may begin and end within pixels.
    pub source: Rect<f64>,
    /// Where it is in the input. The rest is border.
    pub target: Rect<usize>,
}

impl Placement {
    /// For a frame of this size.
    pub fn new(resize: Option<&Resize>, width: usize, height: usize) -> Self {
        let (w, h) = (width as f64, height as f64);
        let whole = Rect { left: 0.0, top: 0.0, width: w, height: h };
        let Some(resize) = resize else { return Self::filling((width, height), (width, height), whole) };
        let input = (resize.width as usize, resize.height as usize);
        let (iw, ih) = (input.0 as f64, input.1 as f64);
        match resize.mode {
            ResizeMode::Stretch => Self::filling((width, height), input, whole),
            ResizeMode::CentreCrop => {
                // Frame pixels per input pixel at which the input is just covered, and less of them when a part is taken.
                let scale = (w / iw).min(h / ih) * f64::from(resize.crop_fraction.unwrap_or(1.0));
                // In steps of 1/65536 pixel, so that floats add up exactly and nothing lies a hair outside the frame.
                let margin = |edge: f64, cut: f64| (((edge - cut) / 2.0 * 65536.0).round() / 65536.0).max(0.0);
                let (left, top) = (margin(w, iw * scale), margin(h, ih * scale));
                let source = Rect { left, top, width: w - 2.0 * left, height: h - 2.0 * top };
                Self::filling((width, height), input, source)
            }
            ResizeMode::Letterbox => {
                let scale = (iw / w).min(ih / h);
                let fit = |edge: f64, limit: usize| ((edge * scale).round_ties_even() as usize).clamp(1, limit);
                let (tw, th) = (fit(w, input.0), fit(h, input.1));
                let (left, top) = match resize.anchor.unwrap_or_default() {
                    // The odd pixel of the border goes right and below, as in Ultralytics' letterbox.
                    Anchor::Centre => ((input.0 - tw) / 2, (input.1 - th) / 2),
                    Anchor::TopLeft => (0, 0),
                };
                Self { frame: (width, height), input, source: whole, target: Rect { left, top, width: tw, height: th } }
            }
        }
    }

    fn filling(frame: (usize, usize), input: (usize, usize), source: Rect<f64>) -> Self {
        Self { frame, input, source, target: Rect { left: 0, top: 0, width: input.0, height: input.1 } }
    }

    /// Whether the tensor has border pixels.
    pub fn has_border(&self) -> bool {
        (self.target.width, self.target.height) != self.input
    }

    /// Whether the frame's pixels are the input's, one for one.
    pub fn is_identity(&self) -> bool {
        let Rect { left, top, width, height } = self.source;
        left == 0.0
            && top == 0.0
            && (width, height) == (self.frame.0 as f64, self.frame.1 as f64)
            && (self.target.width, self.target.height) == self.frame
    }

    /// Frame pixels per input pixel along both axes, when whole blocks of them become one.
    pub(super) fn whole_blocks(&self) -> Option<(usize, usize)> {
        let Rect { left, top, width, height } = self.source;
        let whole = [left, top, width, height].iter().all(|v| v.fract() == 0.0);
        let (width, height) = (width as usize, height as usize);
        let divides = width % self.target.width == 0 && height % self.target.height == 0;
        let (across, down) = (width / self.target.width, height / self.target.height);
        (whole && divides && across * down <= MAX_BLOCK).then_some((across, down))
    }

    /// Frame coordinates of input coordinates, both in pixels counted from the outer edge of the first.
    pub fn to_frame(&self, x: f32, y: f32) -> (f32, f32) {
        let back = |at: f32, target: usize, size: usize, from: f64, length: f64| {
            ((f64::from(at) - target as f64) / size as f64 * length + from) as f32
        };
        let (t, s) = (&self.target, &self.source);
        (back(x, t.left, t.width, s.left, s.width), back(y, t.top, t.height, s.top, s.height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_bundle::Filter;

    fn resize(width: u32, height: u32, mode: ResizeMode) -> Resize {
        Resize { width, height, mode, filter: Filter::Box, pad_value: None, anchor: None, crop_fraction: None }
    }

    fn placed(resize: Resize, width: usize, height: usize) -> Placement {
        Placement::new(Some(&resize), width, height)
    }

    #[test]
    fn letterbox_keeps_the_whole_frame_and_its_shape() {
        let wide = placed(resize(640, 640, ResizeMode::Letterbox), 1280, 720);
        assert_eq!(wide.target, Rect { left: 0, top: 140, width: 640, height: 360 });
        assert_eq!(wide.to_frame(0.0, 140.0), (0.0, 0.0));
        assert_eq!(wide.to_frame(640.0, 500.0), (1280.0, 720.0));
        assert_eq!(wide.to_frame(320.0, 320.0), (640.0, 360.0));
        // 427 x 640 to 640 x 640: 427 columns, border 106 and 107.
        let tall = placed(resize(640, 640, ResizeMode::Letterbox), 427, 640);
        assert_eq!(tall.target, Rect { left: 106, top: 0, width: 427, height: 640 });
        let anchored = Resize { anchor: Some(Anchor::TopLeft), ..resize(640, 640, ResizeMode::Letterbox) };
        assert_eq!(placed(anchored, 427, 640).target.left, 0);
        // However thin, something is seen.
        assert_eq!(placed(resize(64, 64, ResizeMode::Letterbox), 10_000, 1).target.height, 1);
    }

    #[test]
    fn centre_crop_fills_the_input_from_the_middle() {
        let crop = placed(resize(224, 224, ResizeMode::CentreCrop), 640, 480);
        assert_eq!(crop.source, Rect { left: 80.0, top: 0.0, width: 480.0, height: 480.0 });
        assert!(!crop.has_border() && !crop.is_identity());
        assert_eq!(crop.to_frame(0.0, 0.0), (80.0, 0.0));
        assert_eq!(crop.to_frame(224.0, 224.0), (560.0, 480.0));
        // Resize to 256, crop to 224: 7/8 along each axis.
        let part = Resize { crop_fraction: Some(0.875), ..resize(224, 224, ResizeMode::CentreCrop) };
        assert_eq!(placed(part, 256, 256).source, Rect { left: 16.0, top: 16.0, width: 224.0, height: 224.0 });
    }

    #[test]
    fn stretch_scales_each_axis_and_equal_sizes_are_left_alone() {
        let stretch = placed(resize(100, 100, ResizeMode::Stretch), 200, 50);
        assert_eq!(stretch.to_frame(50.0, 50.0), (100.0, 25.0));
        for mode in [ResizeMode::Stretch, ResizeMode::Letterbox, ResizeMode::CentreCrop] {
            assert!(placed(resize(64, 48, mode), 64, 48).is_identity(), "{mode:?}");
        }
        assert!(Placement::new(None, 5, 7).is_identity());
    }
}
