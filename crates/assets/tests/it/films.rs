//! Small MP4 files, box by box.

/// One box.
pub fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes()[..], kind, body].concat()
}

/// One box with a 64-bit size.
pub fn large_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = body.len() as u64 + 16;
    [&1_u32.to_be_bytes()[..], kind, &size.to_be_bytes()[..], body].concat()
}

/// One box that runs to the end of the file.
pub fn open_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&0_u32.to_be_bytes()[..], kind, body].concat()
}

pub fn ftyp() -> Vec<u8> {
    boxed(b"ftyp", b"isom\0\0\x02\0isomiso2avc1mp41")
}

/// `mvhd` of version 0.
pub fn mvhd(timescale: u32, duration: u32) -> Vec<u8> {
    let mut body = vec![0; 100];
    body[12..16].copy_from_slice(&timescale.to_be_bytes());
    body[16..20].copy_from_slice(&duration.to_be_bytes());
    boxed(b"mvhd", &body)
}

/// `mvhd` of version 1.
pub fn mvhd_long(timescale: u32, duration: u64) -> Vec<u8> {
    let mut body = vec![0; 112];
    body[0] = 1;
    body[20..24].copy_from_slice(&timescale.to_be_bytes());
    body[24..32].copy_from_slice(&duration.to_be_bytes());
    boxed(b"mvhd", &body)
}

pub fn moov(mvhd: &[u8]) -> Vec<u8> {
    boxed(b"moov", &[mvhd, &boxed(b"trak", &boxed(b"tkhd", &[7; 84]))].concat())
}

/// Bytes that look like a film's: no two parts equal, so swapped parts change the hash.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

/// A whole film of `duration_s` seconds with `mdat_bytes` of pictures, index first.
pub fn film(duration_s: u32, mdat_bytes: usize) -> Vec<u8> {
    let mdat = boxed(b"mdat", &noise(mdat_bytes));
    [ftyp(), moov(&mvhd(24_000, duration_s * 24_000)), mdat].concat()
}

pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
pub const JPEG: &[u8] = &[0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F'];
