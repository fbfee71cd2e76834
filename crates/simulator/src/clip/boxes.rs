//! The MP4 container, just enough of it: one video track of a few H.264 pictures
//! (ISO/IEC 14496-12 and -15).

/// Ticks per second of movie and track.
const TIMESCALE: u32 = 24;
/// Length of a box head: size and name.
const HEAD_BYTES: usize = 8;

/// Sequence and picture parameter sets.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) sequence: Vec<u8>,
    pub(super) picture: Vec<u8>,
}

/// One movie to write.
pub(super) struct Movie<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) coded: (u32, u32),
    pub(super) presented: (u32, u32),
    pub(super) duration_s: u32,
    pub(super) samples: &'a [&'a [u8]],
    pub(super) tag: &'a str,
    /// Whether `moov` comes before `mdat`.
    pub(super) index_first: bool,
    pub(super) bytes_min: usize,
}

impl Movie<'_> {
    pub(super) fn write(&self) -> Vec<u8> {
        let kind = boxed(b"ftyp", &[b"isom", &[0, 0, 2, 0], b"isom", b"iso2", b"avc1", b"mp41"]);
        let media = self.media();
        // The index has the same length wherever the media lies, so one measuring pass suffices.
        let index_bytes = self.index(0).len();
        let media_at = kind.len() + if self.index_first { index_bytes } else { 0 };
        let first_sample_at = u32::try_from(media_at + HEAD_BYTES).unwrap_or(u32::MAX);
        let index = self.index(first_sample_at);
        let (second, third) = if self.index_first { (&index, &media) } else { (&media, &index) };
        let mut file = [kind.as_slice(), second, third].concat();
        let padding =
            padding(self.bytes_min.saturating_sub(file.len() + HEAD_BYTES + self.tag.len()));
        file.extend(boxed(b"free", &[self.tag.as_bytes(), &padding]));
        file
    }

    fn media(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for sample in self.samples {
            body.extend_from_slice(&length(sample).to_be_bytes());
            body.extend_from_slice(sample);
        }
        boxed(b"mdat", &[&body])
    }

    fn duration(&self) -> u32 {
        self.duration_s * TIMESCALE
    }

    fn index(&self, first_sample_at: u32) -> Vec<u8> {
        let duration = self.duration().to_be_bytes();
        let timescale = TIMESCALE.to_be_bytes();
        let matrix = matrix();
        let movie_head = full(
            b"mvhd",
            0,
            &[
                &[0; 8],
                &timescale,
                &duration,
                &[0, 1, 0, 0, 1, 0],
                &[0; 10],
                &matrix,
                &[0; 24],
                &2_u32.to_be_bytes(),
            ],
        );
        let (width, height) = self.presented;
        let track_head = full(
            b"tkhd",
            3,
            &[
                &[0; 8],
                &1_u32.to_be_bytes(),
                &[0; 4],
                &duration,
                &[0; 16],
                &matrix,
                &(width << 16).to_be_bytes(),
                &(height << 16).to_be_bytes(),
            ],
        );
        let media_head = full(b"mdhd", 0, &[&[0; 8], &timescale, &duration, &[0x55, 0xc4, 0, 0]]);
        let handler = full(b"hdlr", 0, &[&[0; 4], b"vide", &[0; 12], b"video\0"]);
        let reference = full(b"dref", 0, &[&1_u32.to_be_bytes(), &full(b"url ", 1, &[])]);
        let information = boxed(
            b"minf",
            &[
                &full(b"vmhd", 1, &[&[0; 8]]),
                &boxed(b"dinf", &[&reference]),
                &self.sample_table(first_sample_at),
            ],
        );
        let media = boxed(b"mdia", &[&media_head, &handler, &information]);
        boxed(b"moov", &[&movie_head, &boxed(b"trak", &[&track_head, &media])])
    }

    fn sample_table(&self, first_sample_at: u32) -> Vec<u8> {
        let count = length(self.samples);
        let one = 1_u32.to_be_bytes();
        let description = full(b"stsd", 0, &[&one, &self.sample_entry()]);
        // The last picture takes what an even split leaves over, so the sum is exact.
        let each = self.duration() / count;
        let last = self.duration() - each * (count - 1);
        let times = [2, count - 1, each, 1, last].map(u32::to_be_bytes).concat();
        let chunks = [1, 1, count, 1].map(u32::to_be_bytes).concat();
        let sizes: Vec<u8> =
            self.samples.iter().flat_map(|sample| (length(sample) + 4).to_be_bytes()).collect();
        boxed(
            b"stbl",
            &[
                &description,
                &full(b"stts", 0, &[&times]),
                &full(b"stsc", 0, &[&chunks]),
                &full(b"stsz", 0, &[&[0; 4], &count.to_be_bytes(), &sizes]),
                &full(b"stco", 0, &[&one, &first_sample_at.to_be_bytes()]),
            ],
        )
    }

    fn sample_entry(&self) -> Vec<u8> {
        let short = |side: u32| u16::try_from(side).unwrap_or(u16::MAX).to_be_bytes();
        let Parameters { sequence, picture } = self.parameters;
        let configuration = boxed(
            b"avcC",
            &[
                &[1, sequence[1], sequence[2], sequence[3], 0xff, 0xe1],
                &short(length(sequence)),
                sequence,
                &[1],
                &short(length(picture)),
                picture,
            ],
        );
        boxed(
            b"avc1",
            &[
                &[0, 0, 0, 0, 0, 0, 0, 1],
                &[0; 16],
                &short(self.coded.0),
                &short(self.coded.1),
                &[0, 0x48, 0, 0, 0, 0x48, 0, 0],
                &[0; 4],
                &[0, 1],
                &[0; 32],
                &[0, 0x18, 0xff, 0xff],
                &configuration,
            ],
        )
    }
}

fn length<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

fn boxed(name: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let size = u32::try_from(body.len() + HEAD_BYTES).unwrap_or(u32::MAX);
    [&size.to_be_bytes(), name.as_slice(), &body].concat()
}

/// A box with a version (always 0) and flags.
fn full(name: &[u8; 4], flags: u32, parts: &[&[u8]]) -> Vec<u8> {
    boxed(name, &[&flags.to_be_bytes(), &parts.concat()])
}

/// The unity matrix of movie and track heads.
fn matrix() -> Vec<u8> {
    [0x0001_0000_u32, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000].map(u32::to_be_bytes).concat()
}

/// Bytes of which no two stretches are equal: pieces put together wrongly have another checksum.
fn padding(length: usize) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut bytes = vec![0x5a; length];
    for (number, block) in bytes.chunks_exact_mut(BLOCK).enumerate() {
        block[..8].copy_from_slice(&(number as u64).to_be_bytes());
    }
    bytes
}
