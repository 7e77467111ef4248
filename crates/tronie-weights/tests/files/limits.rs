//! Pickles that try to exhaust memory, stack or time.

use tronie_weights::PickleFile;

use crate::assembler::{Pickle, archive};
use crate::machine::{check, refusal};

#[test]
fn lengths_beyond_the_file_allocate_nothing() {
    let huge = u64::MAX.to_le_bytes();
    for (code, name) in [(b'X', "BINUNICODE"), (b'T', "BINSTRING"), (b'B', "BINBYTES"), (0x8b, "LONG4")] {
        let message = refusal(name, &Pickle::new().raw([code, 0xff, 0xff, 0xff, 0xff]).raw(b"abc").stop());
        assert!(message.contains(name), "{message}");
        assert!(message.contains("4294967295 more bytes expected, 4 found"), "{message}");
    }
    for (code, name) in [(0x8d, "BINUNICODE8"), (0x8e, "BINBYTES8"), (0x95, "FRAME")] {
        let message = refusal(name, &Pickle::protocol4().raw([code]).raw(huge).raw(b"abc").stop());
        assert!(message.contains(name) && message.contains("18446744073709551615 more bytes"), "{message}");
    }
    let long = "x".repeat((1 << 20) + 1);
    check(&[(
        "a text of more than a megabyte",
        Pickle::new().text(&long).stop(),
        "bytes of one text exceeded, at most 1048576",
    )]);
    let most = Pickle::new().text(&long[1..]).stop();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pt");
    std::fs::write(&path, archive(&most, &[])).unwrap();
    assert_eq!(PickleFile::open(&path).unwrap().value().as_text().map(str::len), Some(1 << 20));
}

#[test]
fn bombs_are_refused_quickly() {
    let million = 1_000_000;
    // Each list holds the one before it twice: forty lists are a tree of 2^40.
    let doubling = |levels: u8| {
        let first = Pickle::new().raw(b"]q\x00");
        let grown = (0..levels)
            .fold(first, |pickle, i| pickle.raw([b'0', b']', b'q', i + 1, b'(', b'h', i, b'h', i, b'e']));
        grown.stop()
    };
    let text = Pickle::new()
        .text(&"x".repeat(1 << 20))
        .raw(b"q\x00](")
        .raw(b"h\x00".repeat(1000))
        .raw(b"e")
        .raw(b"\x86")
        .stop();
    let deep_tuples = Pickle::new().raw(b"N").raw([0x85].repeat(million)).stop();
    let deep_lists = Pickle::new().raw(b"]".repeat(million)).raw(b"a".repeat(million - 1)).stop();
    let many = Pickle::new().raw(b"(").raw(b"N".repeat(10_000_000)).raw(b"t").stop();
    let puts = Pickle::protocol4().raw(b"N").raw([0x94].repeat(10_000_000)).stop();
    let depth = "depth of values inside values";
    check(&[
        ("2^40 lists", doubling(40), "bytes of all values (or one value is used too often)"),
        ("2^62 lists", doubling(62), "bytes of all values (or one value is used too often)"),
        ("one text a thousand times", text, "bytes of all values"),
        ("a million tuples deep", deep_tuples, depth),
        ("a million lists deep", deep_lists, depth),
        ("a million marks", Pickle::new().raw(b"(".repeat(million)).raw(b"t".repeat(million)).stop(), depth),
        ("a list in itself", Pickle::new().raw(b"]q\x00h\x00a").stop(), depth),
        ("a list in itself twice", Pickle::new().raw(b"]q\x00(h\x00h\x00e").stop(), depth),
        ("a dictionary in itself", Pickle::new().raw(b"}q\x00Nh\x00s").stop(), depth),
        ("ten million values", many, "bytes of all values"),
        ("ten million memo entries", puts, "number of instructions exceeded"),
        (
            "ten million instructions",
            Pickle::new().raw(b"N0".repeat(5_000_001)).raw(b"N").stop(),
            "number of instructions exceeded",
        ),
        (
            "an endless stack",
            Pickle::new().raw(b"Nq\x00").raw(b"h\x00".repeat(10_000_000)).stop(),
            "number of instructions exceeded, at most 10000000",
        ),
    ]);
}

#[test]
fn depth_64_is_the_last_that_is_read() {
    let nested = |depth: usize| Pickle::new().raw(b"]".repeat(depth)).raw(b"a".repeat(depth - 1)).stop();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pt");
    std::fs::write(&path, archive(&nested(64), &[])).unwrap();
    assert!(PickleFile::open(&path).is_ok());
    assert!(refusal("65", &nested(65)).contains("at most 64"));
}
