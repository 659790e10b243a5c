//! Colours for a sensor with one colour filter per pixel: bilinear, the mean of the nearest pixels that have the colour,
//! as OpenCV's default demosaicing does inside the image.

use super::format::Cfa;

/// Red, green and blue of each pixel. `raw` has `width * height` pixels, both even.
pub(super) fn demosaic(raw: &[u8], width: usize, height: usize, cfa: Cfa) -> Vec<u8> {
    let (red_x, red_y) = cfa.red_at();
    let mut out = vec![0; width * height * 3];
    let row = |y: usize| &raw[y * width..(y + 1) * width];
    for (y, to) in out.chunks_exact_mut(width * 3).enumerate() {
        // Beyond an edge lies its mirror image, which has the same colours.
        let rows = [row(if y == 0 { 1 } else { y - 1 }), row(y), row(if y + 1 == height { y - 1 } else { y + 1 })];
        let on_red_row = y % 2 == red_y;
        for (x, pixel) in to.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (left, right) = (if x == 0 { 1 } else { x - 1 }, if x + 1 == width { x - 1 } else { x + 1 });
            let here = rows[1][x];
            let across = mean2(rows[1][left], rows[1][right]);
            let down = mean2(rows[0][x], rows[2][x]);
            let on_red_column = x % 2 == red_x;
            *pixel = if on_red_row == on_red_column {
                // A red or a blue pixel: green beside it, the other colour at its corners.
                let green = mean4(rows[1][left], rows[1][right], rows[0][x], rows[2][x]);
                let other = mean4(rows[0][left], rows[0][right], rows[2][left], rows[2][right]);
                if on_red_row { [here, green, other] } else { [other, green, here] }
            } else if on_red_row {
                [across, here, down]
            } else {
                [down, here, across]
            };
        }
    }
    out
}

fn mean2(a: u8, b: u8) -> u8 {
    ((u16::from(a) + u16::from(b) + 1) >> 1) as u8
}

fn mean4(a: u8, b: u8, c: u8, d: u8) -> u8 {
    ((u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d) + 2) >> 2) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_colour_comes_back_from_every_filter() {
        for cfa in [Cfa::Rggb, Cfa::Bggr, Cfa::Gbrg, Cfa::Grbg] {
            let (red_x, red_y) = cfa.red_at();
            let raw: Vec<u8> = (0..6 * 4)
                .map(|i| match ((i % 6) % 2 == red_x, (i / 6) % 2 == red_y) {
                    (true, true) => 200,
                    (false, false) => 50,
                    _ => 100,
                })
                .collect();
            assert!(demosaic(&raw, 6, 4, cfa).as_chunks::<3>().0.iter().all(|p| *p == [200, 100, 50]), "{cfa:?}");
        }
    }

    #[test]
    fn each_kind_of_pixel_takes_its_neighbours() {
        // Red green red green, green blue green blue, ...
        #[rustfmt::skip]
        let raw = [
            10, 20, 30, 40,
            50, 60, 70, 80,
            90, 100, 110, 120,
            130, 140, 150, 160,
        ];
        let out = demosaic(&raw, 4, 4, Cfa::Rggb);
        let at = |x: usize, y: usize| [out[(y * 4 + x) * 3], out[(y * 4 + x) * 3 + 1], out[(y * 4 + x) * 3 + 2]];
        assert_eq!(at(1, 1), [60, 60, 60], "blue: red of 10, 30, 90, 110, green of 20, 50, 70, 100");
        assert_eq!(at(2, 2), [110, 110, 110], "red: green of 70, 100, 120, 150, blue of 60, 80, 140, 160");
        assert_eq!(at(2, 1), [70, 70, 70], "green on a blue row: red of 30 and 110, blue of 60 and 80");
        assert_eq!(at(1, 2), [100, 100, 100], "green on a red row: red of 90 and 110, blue of 60 and 140");
        assert_eq!(at(0, 0), [10, 35, 60], "the corner: green of 20 and 50, mirrored; blue of 60");
    }
}
