//! A file's bytes as they are stored: counted, and decompressed on the way out.

use crate::recognise;
use crate::report::Compression;
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufReader, Cursor, Read};

/// Compressed bytes read at a time.
const STORED_BYTES: usize = 64 << 10;
/// Largest zstd window accepted, as a power of two: 128 MiB, which `zstd --ultra` stays within.
const ZSTD_WINDOW_LOG: u32 = 27;

pub(crate) type Reader = Box<dyn Read + Send>;

/// Counts what passes and hides interruptions by signals.
struct Counted {
    /// The bytes that were looked at to recognise the compression come first.
    reader: io::Chain<Cursor<Vec<u8>>, Reader>,
    read: u64,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.reader.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(n) => {
                    self.read = self.read.saturating_add(n as u64);
                    return Ok(n);
                }
            }
        }
    }
}

enum Decoder {
    Plain(Counted),
    Gzip(Box<MultiGzDecoder<BufReader<Counted>>>),
    Zstd(zstd::Decoder<'static, BufReader<Counted>>),
}

/// The decompressed bytes of one file.
pub(crate) struct Stored {
    decoder: Decoder,
}

/// Why no more bytes come out of a [`Stored`].
pub(crate) enum Failure {
    /// The operating system failed.
    System(io::Error),
    /// The compressed data ends before it is complete.
    CutShort,
    /// The compressed data is corrupt.
    Corrupt(String),
}

impl Stored {
    /// Looks at the first bytes of `reader` to tell the compression.
    pub(crate) fn new(mut reader: Reader) -> io::Result<Self> {
        let mut start = Vec::with_capacity(recognise::LOOK);
        reader.by_ref().take(recognise::LOOK as u64).read_to_end(&mut start)?;
        let compression = recognise::compression(&start);
        let counted = Counted { reader: Cursor::new(start).chain(reader), read: 0 };
        let decoder = match compression {
            Compression::None => Decoder::Plain(counted),
            Compression::Gzip => {
                let stored = BufReader::with_capacity(STORED_BYTES, counted);
                Decoder::Gzip(Box::new(MultiGzDecoder::new(stored)))
            }
            Compression::Zstd => {
                let stored = BufReader::with_capacity(STORED_BYTES, counted);
                let mut decoder = zstd::Decoder::with_buffer(stored)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Decoder::Zstd(decoder)
            }
        };
        Ok(Self { decoder })
    }

    pub(crate) fn compression(&self) -> Compression {
        match self.decoder {
            Decoder::Plain(_) => Compression::None,
            Decoder::Gzip(_) => Compression::Gzip,
            Decoder::Zstd(_) => Compression::Zstd,
        }
    }

    /// Bytes read so far, as they are stored.
    pub(crate) fn bytes_read(&self) -> u64 {
        match &self.decoder {
            Decoder::Plain(counted) => counted.read,
            Decoder::Gzip(decoder) => decoder.get_ref().get_ref().read,
            Decoder::Zstd(decoder) => decoder.get_ref().get_ref().read,
        }
    }

    /// Reads decompressed bytes; 0 is the end.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let result = match &mut self.decoder {
            Decoder::Plain(counted) => return counted.read(buf).map_err(Failure::System),
            Decoder::Gzip(decoder) => decoder.read(buf),
            Decoder::Zstd(decoder) => decoder.read(buf),
        };
        result.map_err(|error| match error.kind() {
            // What a decoder says itself carries no number of the operating system.
            _ if error.raw_os_error().is_some() => Failure::System(error),
            io::ErrorKind::UnexpectedEof => Failure::CutShort,
            _ => Failure::Corrupt(error.to_string()),
        })
    }
}
