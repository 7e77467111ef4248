use std::io;

use proptest::prelude::*;

use super::*;
use crate::{ImageFormat, Pixels, decode, encode, is_declared_synthetic, synthetic_packet};

const ASCII: &str = "a (portrait:1.2)\nNegative prompt: blurry\nSteps: 20, Sampler: Euler, Seed: 1";
const FORMATS: [ImageFormat; 3] = [ImageFormat::Png, ImageFormat::Jpeg { quality: 90 }, ImageFormat::Webp];

fn gradient(width_px: u32, height_px: u32) -> Pixels {
    let byte = |i: u32| u8::try_from((i * 7 + i / 50) % 256).unwrap();
    Pixels::new(width_px, height_px, (0..width_px * height_px * 3).map(byte).collect()).unwrap()
}

fn texts(parameters: &str) -> Vec<TextEntry> {
    vec![
        TextEntry::new(KEY_PARAMETERS, parameters),
        TextEntry::new(KEY_RECORD, "{\"prompt\":\"Zoë 🙂, 肖像\"}"),
        synthetic_packet("tronie <0.1> & \"friends\""),
    ]
}

fn sorted(mut entries: Vec<TextEntry>) -> Vec<TextEntry> {
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    entries
}

#[test]
fn every_format_gives_back_what_was_written_and_keeps_its_pixels() {
    for format in FORMATS {
        for parameters in [ASCII, "Zoë", "🙂 肖像\nSteps: 1, Seed: 2, Size: 3x4", "odd"] {
            let file = encode(&gradient(33, 17), format, &texts(parameters)).unwrap();
            let found = read_text(&file).unwrap();
            assert_eq!(sorted(found.clone()), sorted(texts(parameters)), "{format:?}");
            assert!(is_declared_synthetic(&found));
            let plain = encode(&gradient(33, 17), format, &[]).unwrap();
            assert_eq!(decode(&file).unwrap(), decode(&plain).unwrap(), "{format:?}");
            assert_eq!(file, encode(&gradient(33, 17), format, &texts(parameters)).unwrap());
        }
    }
}

#[test]
fn png_and_webp_are_lossless() {
    for format in [ImageFormat::Png, ImageFormat::Webp] {
        let file = encode(&gradient(40, 30), format, &texts(ASCII)).unwrap();
        assert_eq!(decode(&file).unwrap(), gradient(40, 30));
    }
}

#[test]
fn png_texts_are_latin1_where_they_can_be() {
    let has = |file: &[u8], chunk: &[u8]| file.windows(chunk.len()).any(|bytes| bytes == chunk);
    let file =
        |value| encode(&gradient(4, 4), ImageFormat::Png, &[TextEntry::new(KEY_PARAMETERS, value)]).unwrap();
    assert!(has(&file("caf\u{e9}"), b"tEXtparameters\0caf\xe9"));
    assert!(has(&file("\u{142}"), b"iTXtparameters\0\0\0\0\0\xc5\x82"));
}

#[test]
fn exif_lies_where_other_tools_look_for_it() {
    let file = encode(&gradient(4, 4), FORMATS[1], &[TextEntry::new(KEY_PARAMETERS, "ab")]).unwrap();
    // TIFF 6.0 and EXIF 2.3 written out by hand: one entry that points to a directory with one UserComment
    let expected = b"\xff\xe1\x00\x40Exif\0\0MM\0\x2a\0\0\0\x08\
        \0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0\
        \0\x01\x92\x86\0\x07\0\0\0\x0c\0\0\0\x2c\0\0\0\0UNICODE\0\0a\0b";
    assert_eq!(file[20..20 + expected.len()], expected[..]);
}

#[test]
fn texts_that_cannot_be_held_are_refused_by_name() {
    let long = "x".repeat(40_000);
    let cases = [
        (
            FORMATS[1],
            vec![(KEY_PARAMETERS, long.as_str())],
            "text \"parameters\" takes 80052 bytes, JPEG holds at most 65527",
        ),
        (
            FORMATS[0],
            vec![("", "x")],
            "text key \"\", expected 1 to 79 Latin-1 characters without spaces at the ends",
        ),
        (
            FORMATS[0],
            vec![("a\0b", "x")],
            "text key \"a\0b\", expected 1 to 79 Latin-1 characters without spaces at the ends",
        ),
        (FORMATS[0], vec![("a", "x\0")], "text \"a\" has a zero character at 1"),
        (
            FORMATS[2],
            vec![("a", "x"), ("b", "y")],
            "no place for the texts \"a\" and \"b\" in one WebP file, expected one beside parameters and XMP",
        ),
    ];
    for (format, texts, expected) in cases {
        let texts: Vec<_> = texts.into_iter().map(|(key, value)| TextEntry::new(key, value)).collect();
        let error = encode(&gradient(4, 4), format, &texts).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

fn png_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&length[..], kind, body, &[0; 4]].concat()
}

fn png_of(chunks: &[Vec<u8>]) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n".to_vec(), png_chunk(b"IHDR", &[0; 13]), chunks.concat(), png_chunk(b"IEND", &[])]
        .concat()
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_texts_are_inflated() {
    let ztxt = [b"Comment\0\0".to_vec(), deflated(b"caf\xe9")].concat();
    let itxt = [b"Title\0\x01\0de\0Titel\0".to_vec(), deflated("\u{142}".as_bytes())].concat();
    let file = png_of(&[png_chunk(b"zTXt", &ztxt), png_chunk(b"IDAT", &[1; 100]), png_chunk(b"iTXt", &itxt)]);
    assert_eq!(
        read_text(&file).unwrap(),
        [TextEntry::new("Comment", "caf\u{e9}"), TextEntry::new("Title", "\u{142}")]
    );
}

#[test]
fn a_text_that_inflates_without_end_is_refused() {
    let bomb = [b"bomb\0\0".to_vec(), deflated(&vec![b'x'; MAX_TEXT_BYTES + 5])].concat();
    assert!(bomb.len() < 1 << 20);
    let error = read_text(&png_of(&[png_chunk(b"zTXt", &bomb)])).unwrap_err();
    assert_eq!(error.to_string(), "text \"bomb\" takes 16777217 bytes, PNG holds at most 16777216");
}

/// Counts what is read.
struct Counting<R> {
    inner: R,
    n_bytes: usize,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.n_bytes += n;
        Ok(n)
    }
}

impl<R: Seek> Seek for Counting<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}

#[test]
fn the_pixels_of_a_large_file_are_not_read() {
    let idat = png_chunk(b"IDAT", &vec![7; 6 << 20]);
    let text = png_chunk(b"tEXt", b"parameters\0at the end");
    let file = png_of(&[vec![idat; 10], vec![text]].concat());
    assert!(file.len() > 60_000_000);
    let inner = Counting { inner: Cursor::new(&file), n_bytes: 0 };
    let mut reader = BufReader::new(inner);
    let entries = scan(&mut reader).unwrap();
    assert_eq!(entries, [TextEntry::new(KEY_PARAMETERS, "at the end")]);
    assert!(reader.get_ref().n_bytes < 200_000, "{} bytes read", reader.get_ref().n_bytes);
}

#[test]
fn user_comments_of_other_writers_are_understood() {
    let block = |order: &[u8; 2], comment: &[u8]| {
        let big = order == b"MM";
        let n16 = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let n32 = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let count = n32(u32::try_from(comment.len()).unwrap());
        [
            &order[..],
            &n16(42),
            &n32(8),
            &n16(1),
            &n16(0x8769),
            &n16(4),
            &n32(1),
            &n32(26),
            &n32(0),
            &n16(1),
            &n16(0x9286),
            &n16(7),
            &count,
            &n32(44),
            &n32(0),
            comment,
        ]
        .concat()
    };
    let be: Vec<u8> = "Zo\u{eb} 肖".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let le: Vec<u8> = "Zo\u{eb} 肖".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases = [
        (b"II", [b"UNICODE\0", &be[..]].concat()), // piexif in a little-endian file
        (b"II", [b"UNICODE\0", &le[..]].concat()), // exiftool
        (b"MM", [b"UNICODE\0\xff\xfe", &le[..]].concat()), // with a byte order mark
        (b"MM", [b"ASCII\0\0\0", "Zo\u{eb} 肖".as_bytes()].concat()),
        (b"II", "\0\0\0\0\0\0\0\0Zo\u{eb} 肖\0\0".as_bytes().to_vec()),
    ];
    for (order, comment) in cases {
        let file = png_of(&[png_chunk(b"eXIf", &block(order, &comment))]);
        assert_eq!(
            read_text(&file).unwrap(),
            [TextEntry::new(KEY_PARAMETERS, "Zo\u{eb} 肖")],
            "{comment:x?}"
        );
    }
}

#[test]
fn published_pictures_give_the_published_texts() {
    let Some(shared) = tronie_testing::shared("published_pictures_give_the_published_texts") else {
        return;
    };
    let folder = shared.join("data/fixtures/infotext");
    for name in ["image2images_00024-554464374", "kami_v02_00045-1549482566", "text2images_00076-554464374"] {
        let expected = std::fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
        let found = read_text_from(&folder.join(format!("{name}.png"))).unwrap();
        assert_eq!(found, [TextEntry::new(KEY_PARAMETERS, expected)], "{name}");
    }
}

#[test]
fn what_is_not_a_picture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    std::fs::write(&path, b"GIF89a").unwrap();
    let error = read_text_from(&path).unwrap_err().to_string();
    assert!(
        error.ends_with("a.png: not a picture: begins with 47 49 46 38 39 61, expected PNG, JPEG or WebP"),
        "{error}"
    );
    let error = read_text_from(&folder.path().join("none.png")).unwrap_err();
    assert_eq!(tronie_base::Faulty::fault(&error), tronie_base::Fault::Input);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_files_never_panic(which in 0..3_usize, cut in 0..2000_usize, damage in prop::collection::vec((0..600_usize, any::<u8>()), 0..6)) {
        let mut file = encode(&gradient(16, 16), FORMATS[which], &texts(ASCII)).unwrap();
        for (position, byte) in damage {
            if let Some(slot) = file.get_mut(position) {
                *slot = byte;
            }
        }
        file.truncate(file.len().saturating_sub(cut));
        let _ = read_text(&file);
        let _ = decode(&file);
    }
}
