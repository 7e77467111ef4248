//! Pickles that break the rules of the stack machine, or try to exhaust it: an error each, soon, and small.

use std::time::{Duration, Instant};

use tronie_weights::{PickleFile, open};

use crate::assembler::{Pickle, archive, legacy, one_tensor};

/// Opens a pickle inside an archive and gives the message it is refused with.
#[track_caller]
fn refusal(what: &str, pickle: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    std::fs::write(&path, archive(pickle, &[("0", &[0; 16])])).unwrap();
    let begun = Instant::now();
    let error = open(&path).err().unwrap_or_else(|| panic!("{what} was accepted"));
    let message = error.to_string();
    eprintln!("TIME {what} {:?}", begun.elapsed());
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{what} took {:?}",
        begun.elapsed()
    );
    assert!(message.len() < 1000, "{what}: {} bytes of message", message.len());
    message
}

#[track_caller]
fn check(cases: &[(&str, Vec<u8>, &str)]) {
    for (what, pickle, expected) in cases {
        let message = refusal(what, pickle);
        assert!(message.contains(expected), "{what}: {message}");
    }
}

#[test]
fn instructions_that_no_checkpoint_needs_are_refused_by_name() {
    // (instruction with its argument, name)
    let unused: [(&[u8], &str); 20] = [
        (b"I1\n", "INT"),
        (b"L1L\n", "LONG"),
        (b"F1.0\n", "FLOAT"),
        (b"S'x'\n", "STRING"),
        (b"Vx\n", "UNICODE"),
        (b"(l", "LIST"),
        (b"(d", "DICT"),
        (b"(o", "OBJ"),
        (b"N2", "DUP"),
        (b"(1", "POP_MARK"),
        (b"g0\n", "GET"),
        (b"Np0\n", "PUT"),
        (b"P0\n", "PERSID"),
        (b"\x82\x01", "EXT1"),
        (b"\x83\x01\x00", "EXT2"),
        (b"\x84\x01\x00\x00\x00", "EXT4"),
        (b"\x92", "NEWOBJ_EX"),
        (b"\x96\x00\x00\x00\x00\x00\x00\x00\x00", "BYTEARRAY8"),
        (b"\x97", "NEXT_BUFFER"),
        (b"\x98", "READONLY_BUFFER"),
    ];
    for (code, name) in unused {
        let message = refusal(name, &Pickle::new().raw(code).stop());
        assert!(
            message.contains(&format!(", {name}: instruction")),
            "{name}: {message}"
        );
    }
    for byte in [0x00, 0x7f, 0x99, 0xff] {
        let message = refusal("no instruction", &Pickle::new().raw([byte]).stop());
        assert!(message.contains("unknown: instruction"), "{message}");
    }
    check(&[(
        "INST of a known class",
        Pickle::bare().raw(b"(icollections\nOrderedDict\n.").cut(),
        "INST: instruction",
    )]);
}

#[test]
fn only_protocols_two_to_four_are_read() {
    for protocol in [0, 1, 5, 6, 255] {
        let message = refusal("protocol", &[0x80, protocol, b'}', b'.']);
        assert!(
            message.contains(&format!("protocol {protocol} is not supported")),
            "{message}"
        );
    }
    check(&[(
        "a second header",
        Pickle::new().raw([0x80, 2]).raw(b"}").stop(),
        "protocol 2 is not supported, expected 2, 3 or 4 as the first",
    )]);
}

#[test]
fn every_instruction_finds_an_empty_stack() {
    // Everything that takes values from the stack, with its argument.
    let takers: [(&[u8], &str); 22] = [
        (b".", "STOP"),
        (b"0", "POP"),
        (b"a", "APPEND"),
        (b"e", "APPENDS"),
        (b"s", "SETITEM"),
        (b"u", "SETITEMS"),
        (b"\x90", "ADDITEMS"),
        (b"\x91", "FROZENSET"),
        (b"t", "TUPLE"),
        (b"\x85", "TUPLE1"),
        (b"\x86", "TUPLE2"),
        (b"\x87", "TUPLE3"),
        (b"h\x00", "BINGET"),
        (b"j\x00\x00\x00\x00", "LONG_BINGET"),
        (b"q\x00", "BINPUT"),
        (b"r\x00\x00\x00\x00", "LONG_BINPUT"),
        (b"\x94", "MEMOIZE"),
        (b"\x93", "STACK_GLOBAL"),
        (b"R", "REDUCE"),
        (b"\x81", "NEWOBJ"),
        (b"b", "BUILD"),
        (b"Q", "BINPERSID"),
    ];
    for (code, name) in takers {
        // Empty, then out of reach below a mark.
        for prefix in [&b""[..], b"NN("] {
            let pickle = Pickle::new().raw(prefix).raw(code).stop();
            let needs_mark = matches!(name, "APPENDS" | "SETITEMS" | "ADDITEMS" | "FROZENSET" | "TUPLE");
            let message = refusal(name, &pickle);
            let expected = match name {
                "BINGET" | "LONG_BINGET" => "memo 0 was never set",
                _ if needs_mark && prefix.is_empty() => "there is no mark",
                // With a mark these succeed on nothing, or find None below it.
                _ if needs_mark => "",
                _ => "too few values",
            };
            assert!(message.contains(expected), "{name} after {prefix:?}: {message}");
        }
    }
}

#[test]
fn stack_and_marks_must_be_used_up() {
    check(&[
        (
            "two values",
            Pickle::new().raw(b"NN").stop(),
            "2 values are left at the end",
        ),
        (
            "a mark below",
            Pickle::new().raw(b"(N").stop(),
            "2 values are left at the end",
        ),
        ("a mark above", Pickle::new().raw(b"N(").stop(), "too few values"),
        (
            "a hundred marks",
            Pickle::new().raw([b'('; 100]).raw(b"N").stop(),
            "101 values",
        ),
        (
            "a second pickle",
            [Pickle::new().raw(b"}").stop(), Pickle::new().raw(b"}").stop()].concat(),
            "4 bytes follow the end",
        ),
    ]);
}

#[test]
fn values_must_be_of_the_kind_an_instruction_needs() {
    let long_name = "x".repeat(300);
    check(&[
        // CVE-2026-24747: SETITEM on what is no dictionary.
        (
            "SETITEM on a list",
            Pickle::new().raw(b"]").text("k").raw(b"Ns").stop(),
            "a list in place of a dictionary",
        ),
        (
            "SETITEM on a tensor",
            Pickle::new()
                .tensor(("0", 4), 0, &[4], &[1])
                .text("k")
                .raw(b"Ns")
                .stop(),
            "a tensor in place of a dictionary",
        ),
        (
            "SETITEM on text",
            Pickle::new().text("x").text("k").raw(b"Ns").stop(),
            "text in place of a dictionary",
        ),
        (
            "SETITEMS of an odd number",
            Pickle::new().raw(b"}(NNNu").stop(),
            "too few values",
        ),
        (
            "a list as a key",
            Pickle::new().raw(b"}]Ns").stop(),
            "a list in place of a key",
        ),
        (
            "a dictionary as a key",
            Pickle::new().raw(b"}}Ns").stop(),
            "a dictionary in place of a key",
        ),
        (
            "APPEND on a tuple",
            Pickle::new().raw(b")Na").stop(),
            "a tuple in place of a list",
        ),
        (
            "APPENDS on a set",
            Pickle::protocol4().raw([0x8f]).raw(b"(Ne").stop(),
            "a set in place of a list",
        ),
        (
            "ADDITEMS on a list",
            Pickle::protocol4().raw(b"](N").raw([0x90]).stop(),
            "a list in place of a set",
        ),
        (
            "names that are no text",
            Pickle::protocol4().raw(b"NN").raw([0x93]).stop(),
            "None in place of text",
        ),
        (
            "text that is not UTF-8",
            Pickle::new().raw(b"X\x01\x00\x00\x00\xff").stop(),
            "text is not UTF-8",
        ),
        (
            "a long global",
            Pickle::new().global(&long_name, "x").stop(),
            "bytes of a name exceeded, at most 256",
        ),
        (
            "a long global on the stack",
            Pickle::protocol4().stack_global(&long_name, "x").stop(),
            "bytes of a name exceeded",
        ),
        (
            "a global without an end",
            Pickle::new().raw(b"cos").cut(),
            "the pickle ends here",
        ),
    ]);
}

#[test]
fn lengths_beyond_the_file_allocate_nothing() {
    let huge = u64::MAX.to_le_bytes();
    for (code, name) in [
        (b'X', "BINUNICODE"),
        (b'T', "BINSTRING"),
        (b'B', "BINBYTES"),
        (0x8b, "LONG4"),
    ] {
        let message = refusal(
            name,
            &Pickle::new()
                .raw([code, 0xff, 0xff, 0xff, 0xff])
                .raw(b"abc")
                .stop(),
        );
        assert!(message.contains(name), "{message}");
        assert!(
            message.contains("4294967295 more bytes expected, 4 found"),
            "{message}"
        );
    }
    for (code, name) in [(0x8d, "BINUNICODE8"), (0x8e, "BINBYTES8"), (0x95, "FRAME")] {
        let message = refusal(
            name,
            &Pickle::protocol4().raw([code]).raw(huge).raw(b"abc").stop(),
        );
        assert!(
            message.contains(name) && message.contains("18446744073709551615 more bytes"),
            "{message}"
        );
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
    assert_eq!(
        PickleFile::open(&path).unwrap().value().as_text().map(str::len),
        Some(1 << 20)
    );
}

#[test]
fn bombs_are_refused_quickly() {
    let million = 1_000_000;
    // Each list holds the one before it twice: forty lists are a tree of 2^40.
    let doubling = |levels: u8| {
        let first = Pickle::new().raw(b"]q\x00");
        let grown = (0..levels).fold(first, |pickle, i| {
            pickle.raw([b'0', b']', b'q', i + 1, b'(', b'h', i, b'h', i, b'e'])
        });
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
    let deep_lists = Pickle::new()
        .raw(b"]".repeat(million))
        .raw(b"a".repeat(million - 1))
        .stop();
    let many = Pickle::new()
        .raw(b"(")
        .raw(b"N".repeat(10_000_000))
        .raw(b"t")
        .stop();
    let puts = Pickle::protocol4()
        .raw(b"N")
        .raw([0x94].repeat(10_000_000))
        .stop();
    let depth = "depth of values inside values";
    check(&[
        (
            "2^40 lists",
            doubling(40),
            "bytes of all values (or one value is used too often)",
        ),
        (
            "2^62 lists",
            doubling(62),
            "bytes of all values (or one value is used too often)",
        ),
        ("one text a thousand times", text, "bytes of all values"),
        ("a million tuples deep", deep_tuples, depth),
        ("a million lists deep", deep_lists, depth),
        (
            "a million marks",
            Pickle::new()
                .raw(b"(".repeat(million))
                .raw(b"t".repeat(million))
                .stop(),
            depth,
        ),
        (
            "a list in itself",
            Pickle::new().raw(b"]q\x00h\x00a").stop(),
            depth,
        ),
        (
            "a list in itself twice",
            Pickle::new().raw(b"]q\x00(h\x00h\x00e").stop(),
            depth,
        ),
        (
            "a dictionary in itself",
            Pickle::new().raw(b"}q\x00Nh\x00s").stop(),
            depth,
        ),
        ("ten million values", many, "bytes of all values"),
        (
            "ten million memo entries",
            puts,
            "number of instructions exceeded",
        ),
        (
            "ten million instructions",
            Pickle::new().raw(b"N0".repeat(5_000_001)).raw(b"N").stop(),
            "number of instructions exceeded",
        ),
        (
            "an endless stack",
            Pickle::new()
                .raw(b"Nq\x00")
                .raw(b"h\x00".repeat(10_000_000))
                .stop(),
            "number of instructions exceeded, at most 10000000",
        ),
    ]);
}

#[test]
fn depth_64_is_the_last_that_is_read() {
    let nested = |depth: usize| {
        Pickle::new()
            .raw(b"]".repeat(depth))
            .raw(b"a".repeat(depth - 1))
            .stop()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pt");
    std::fs::write(&path, archive(&nested(64), &[])).unwrap();
    assert!(PickleFile::open(&path).is_ok());
    assert!(refusal("65", &nested(65)).contains("at most 64"));
}

#[test]
fn tensors_stay_inside_their_storage() {
    let max = i32::MAX;
    let one = |offset, shape: &[i32], strides: &[i32]| {
        Pickle::new().tensor(("0", 4), offset, shape, strides).stop()
    };
    let big = |pickle: Pickle, n: u8| pickle.raw([0x8a, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, n]);
    let overflowing = {
        let head = Pickle::new()
            .global("torch._utils", "_rebuild_tensor_v2")
            .raw(b"(")
            .storage("FloatStorage", "0", 4);
        let shape = |pickle: Pickle| big(big(pickle.raw(b"("), 0x7f), 0x7f).raw(b"t");
        shape(shape(head.int(0))).raw([0x89]).raw(b"NtR").stop()
    };
    check(&[
        (
            "one too many",
            one(0, &[5], &[1]),
            "reaches element 5 of storage \"0\", which has 4",
        ),
        ("an offset beyond", one(4, &[1], &[1]), "reaches element 5"),
        ("a stride beyond", one(0, &[2, 2], &[3, 1]), "reaches element 5"),
        (
            "a negative offset",
            one(-1, &[1], &[1]),
            "a tensor's offset is -1",
        ),
        ("a negative stride", one(3, &[4], &[-1]), "a stride is -1"),
        ("a negative dimension", one(0, &[-4], &[1]), "a dimension is -4"),
        (
            "shape and strides of two lengths",
            one(0, &[4], &[1, 1]),
            "1 dimensions and 2 strides",
        ),
        (
            "a product beyond 64 bits",
            one(0, &[max, max, max], &[0, 0, 0]),
            "the product of a tensor's 3 dimensions",
        ),
        (
            "a range beyond 64 bits",
            overflowing,
            "the product of a tensor's 2 dimensions",
        ),
        (
            "a petabyte by repetition",
            one(0, &[max, 1 << 17], &[0, 0]),
            "bytes of tensors with repeated elements exceeded",
        ),
        (
            "the largest stride",
            one(0, &[2], &[max]),
            "reaches element 2147483648",
        ),
        (
            "a negative storage",
            Pickle::new().storage("FloatStorage", "0", -4).stop(),
            "a storage's number of elements is -4",
        ),
        (
            "text for an offset",
            Pickle::new()
                .call("torch._utils", "_rebuild_tensor_v2", &["x"; 6])
                .stop(),
            "text in place of a storage",
        ),
    ]);
}

#[test]
fn repetition_within_the_budget_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pt");
    let pickle = Pickle::new().tensor(("0", 2), 1, &[3, 2], &[0, 0]).stop();
    std::fs::write(&path, archive(&pickle, &[("0", &[1, 2, 3, 4, 5, 6, 7, 8])])).unwrap();
    let tensor = open(&path).unwrap().read("tensor").unwrap().unwrap();
    assert_eq!(tensor.bytes, [5, 6, 7, 8].repeat(6));
}

#[test]
fn storages_have_the_size_that_is_declared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pt");
    let two = {
        let first = Pickle::new()
            .raw(b"}")
            .text("a")
            .tensor(("0", 4), 0, &[4], &[1])
            .raw(b"s");
        first.text("b").tensor(("0", 5), 0, &[5], &[1]).raw(b"s").stop()
    };
    // The lie of CVE-2026-24747 in every direction.
    let lies = [
        (
            "too short in zip",
            archive(&one_tensor(), &[("0", &[0; 12])]),
            "storage \"0\" has 12 bytes, expected 4 elements of F32",
        ),
        (
            "too long in zip",
            archive(&one_tensor(), &[("0", &[0; 20])]),
            "storage \"0\" has 20 bytes",
        ),
        (
            "absent in zip",
            archive(&one_tensor(), &[("1", &[0; 16])]),
            "storage \"0\" is mentioned and not in the file",
        ),
        (
            "two sizes in zip",
            archive(&two, &[("0", &[0; 16])]),
            "storage \"0\" is declared twice",
        ),
        (
            "too short in legacy",
            legacy(&one_tensor(), &[("0", &[0; 12])]),
            "storage \"0\" has 12 bytes",
        ),
        (
            "too long in legacy",
            legacy(&one_tensor(), &[("0", &[0; 20])]),
            "storage \"0\" has 20 bytes",
        ),
        (
            "absent in legacy",
            legacy(&one_tensor(), &[]),
            "storage \"0\" is mentioned and not in the file",
        ),
        (
            "unknown in legacy",
            legacy(&one_tensor(), &[("0", &[0; 16]), ("1", &[0; 4])]),
            "storage \"1\" is in the file and not mentioned",
        ),
        (
            "twice in legacy",
            legacy(&one_tensor(), &[("0", &[0; 16]), ("0", &[0; 16])]),
            "storage \"0\" is in the file and not mentioned, or there twice",
        ),
        (
            "bytes after the last in legacy",
            [legacy(&one_tensor(), &[("0", &[0; 16])]), vec![0]].concat(),
            "bytes after its last storage",
        ),
    ];
    for (what, bytes, expected) in lies {
        std::fs::write(&path, bytes).unwrap();
        let message = open(&path)
            .err()
            .unwrap_or_else(|| panic!("{what} was accepted"))
            .to_string();
        assert!(message.contains(expected), "{what}: {message}");
    }
    for bytes in [
        archive(&one_tensor(), &[("0", &[7; 16])]),
        legacy(&one_tensor(), &[("0", &[7; 16])]),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(open(&path).unwrap().read("w").unwrap().unwrap().bytes, [7; 16]);
    }
}

#[test]
fn a_pickle_cut_at_any_byte_is_an_error() {
    let pickle = one_tensor();
    for n in 0..pickle.len() {
        let message = refusal("cut", &pickle[..n]);
        assert!(
            message.contains("the pickle ends here") || message.contains("values"),
            "{n}: {message}"
        );
    }
}
