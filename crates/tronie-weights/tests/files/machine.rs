//! Pickles that break the rules of the stack machine: an error each, soon, and small.

use std::time::{Duration, Instant};

use tronie_weights::open;

use crate::assembler::{Pickle, archive, one_tensor};

/// Opens a pickle inside an archive and gives the message it is refused with.
#[track_caller]
pub(crate) fn refusal(what: &str, pickle: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    std::fs::write(&path, archive(pickle, &[("0", &[0; 16])])).unwrap();
    let begun = Instant::now();
    let error = open(&path).err().unwrap_or_else(|| panic!("{what} was accepted"));
    let message = error.to_string();
    assert!(begun.elapsed() < Duration::from_secs(10), "{what} took {:?}", begun.elapsed());
    assert!(message.len() < 1000, "{what}: {} bytes of message", message.len());
    message
}

#[track_caller]
pub(crate) fn check(cases: &[(&str, Vec<u8>, &str)]) {
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
        assert!(message.contains(&format!(", {name}: instruction")), "{name}: {message}");
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
        assert!(message.contains(&format!("protocol {protocol} is not supported")), "{message}");
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
fn memo_numbers_count_up_as_picklers_count() {
    check(&[
        (
            "the largest number",
            Pickle::new().raw(b"Nr\xff\xff\xff\xff").stop(),
            "memo 4294967295 is set, a number larger",
        ),
        ("a number never set", Pickle::new().raw(b"Nq\x010h\x00").stop(), "memo 0 was never set"),
        (
            "a number beyond all",
            Pickle::new().raw(b"j\xff\xff\xff\xff").stop(),
            "memo 4294967295 was never set",
        ),
    ]);
}

#[test]
fn stack_and_marks_must_be_used_up() {
    check(&[
        ("two values", Pickle::new().raw(b"NN").stop(), "2 values are left at the end"),
        ("a mark below", Pickle::new().raw(b"(N").stop(), "2 values are left at the end"),
        ("a mark above", Pickle::new().raw(b"N(").stop(), "too few values"),
        ("a hundred marks", Pickle::new().raw([b'('; 100]).raw(b"N").stop(), "101 values"),
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
            Pickle::new().tensor(("0", 4), 0, &[4], &[1]).text("k").raw(b"Ns").stop(),
            "a tensor in place of a dictionary",
        ),
        (
            "SETITEM on text",
            Pickle::new().text("x").text("k").raw(b"Ns").stop(),
            "text in place of a dictionary",
        ),
        ("SETITEMS of an odd number", Pickle::new().raw(b"}(NNNu").stop(), "too few values"),
        ("a list as a key", Pickle::new().raw(b"}]Ns").stop(), "a list in place of a key"),
        ("a dictionary as a key", Pickle::new().raw(b"}}Ns").stop(), "a dictionary in place of a key"),
        ("APPEND on a tuple", Pickle::new().raw(b")Na").stop(), "a tuple in place of a list"),
        ("APPENDS on a set", Pickle::protocol4().raw([0x8f]).raw(b"(Ne").stop(), "a set in place of a list"),
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
        ("text that is not UTF-8", Pickle::new().raw(b"X\x01\x00\x00\x00\xff").stop(), "text is not UTF-8"),
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
        ("a global without an end", Pickle::new().raw(b"cos").cut(), "the pickle ends here"),
    ]);
}

#[test]
fn a_pickle_cut_at_any_byte_is_an_error() {
    let pickle = one_tensor();
    for n in 0..pickle.len() {
        let message = refusal("cut", &pickle[..n]);
        assert!(message.contains("the pickle ends here") || message.contains("values"), "{n}: {message}");
    }
}
