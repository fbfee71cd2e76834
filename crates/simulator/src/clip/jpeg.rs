//! The least JPEG there is: one grey, any size, with a comment that makes the file unique.

/// One segment: its mark, its length, what it holds.
fn segment(file: &mut Vec<u8>, mark: u8, holds: &[u8]) {
    let length = u16::try_from(holds.len() + 2).unwrap_or(u16::MAX);
    file.extend([0xff, mark]);
    file.extend(length.to_be_bytes());
    file.extend(holds);
}

/// A baseline picture whose blocks all say "as before, and nothing more".
pub(super) fn grey(width: u32, height: u32, comment: &str) -> Vec<u8> {
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX).to_be_bytes();
    let mut file = vec![0xff, 0xd8];
    segment(&mut file, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    segment(&mut file, 0xfe, comment.as_bytes());
    let mut quantities = vec![0];
    quantities.extend([1; 64]);
    segment(&mut file, 0xdb, &quantities);
    let mut frame = vec![8];
    frame.extend(side(height));
    frame.extend(side(width));
    frame.extend([1, 1, 0x11, 0]);
    segment(&mut file, 0xc0, &frame);
    // One code of one bit in each table: "no difference" for the mean, "end" for the rest.
    for class in [0x00, 0x10] {
        let mut codes = vec![class, 1];
        codes.extend([0; 15]);
        codes.push(0);
        segment(&mut file, 0xc4, &codes);
    }
    segment(&mut file, 0xda, &[1, 1, 0, 0, 63, 0]);
    let bits = width.div_ceil(8) * height.div_ceil(8) * 2;
    let whole = (bits / 8) as usize;
    file.resize(file.len() + whole, 0);
    if !bits.is_multiple_of(8) {
        // What is left of the last byte is filled with ones.
        file.push(0xff >> (bits % 8));
    }
    file.extend([0xff, 0xd9]);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_jpeg_of_the_wanted_size() {
        let file = grey(84, 36, "tag");
        let size = imagesize::blob_size(&file).unwrap();
        assert_eq!((size.width, size.height), (84, 36));
        assert_ne!(file, grey(84, 36, "gat"));
    }
}
