//! Mean over whole blocks of pixels: what a box filter is when the sizes divide. In integers, so that it rounds once, with
//! halves up, as OpenCV's INTER_AREA and NumPy's mean of blocks do; a resize in two passes of 8 bits rounds twice.

/// The mean of each block of `across` by `down` pixels of `C` channels, from the rows of an image that the blocks fill.
pub(super) fn block_means<'a, const C: usize>(
    rows: impl Iterator<Item = &'a [[u8; C]]>,
    across: usize,
    down: usize,
    out: &mut Vec<[u8; C]>,
) {
    let area = (across * down) as u32;
    let mut sums: Vec<[u32; C]> = Vec::new();
    for (y, row) in rows.enumerate() {
        let blocks = row.chunks_exact(across);
        if y % down == 0 {
            sums.clear();
            sums.resize(blocks.len(), [0; C]);
        }
        for (sum, block) in sums.iter_mut().zip(blocks) {
            for pixel in block {
                for c in 0..C {
                    sum[c] += u32::from(pixel[c]);
                }
            }
        }
        if y % down == down - 1 {
            out.extend(sums.iter().map(|sum| sum.map(|s| ((s + area / 2) / area) as u8)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_averaged_with_halves_up() {
        let image = [[1, 10], [2, 11], [3, 12], [4, 13], [1, 10], [2, 12], [4, 0], [4, 255]];
        let mut out = Vec::new();
        block_means(image.chunks(4), 2, 2, &mut out);
        assert_eq!(out, [[2, 11], [4, 70]]);
    }
}
