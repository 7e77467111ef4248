//! Pickles that would run code in Python: each is refused, the error names what it would call, and nothing happens.

use std::path::Path;

use tronie_base::{Fault, Faulty as _};
use tronie_weights::{open, scan};

use crate::assembler::{Pickle, archive, legacy, one_tensor};

/// What real attacks and published scanner bypasses call: (module, name).
const HOSTILE: [(&str, &str); 84] = [
    ("os", "system"),
    ("os", "popen"),
    ("os", "execv"),
    ("os", "spawnlp"),
    ("os", "remove"),
    ("posix", "system"),
    ("nt", "system"),
    ("builtins", "exec"),
    ("builtins", "eval"),
    ("builtins", "__import__"),
    ("builtins", "getattr"),
    ("builtins", "compile"),
    ("builtins", "open"),
    ("builtins", "setattr"),
    ("builtins", "map"),
    ("builtins", "breakpoint"),
    ("__builtin__", "exec"),
    ("__builtin__", "eval"),
    ("__builtin__", "apply"),
    ("__builtin__", "execfile"),
    ("__builtin__", "getattr"),
    ("subprocess", "Popen"),
    ("subprocess", "call"),
    ("subprocess", "run"),
    ("subprocess", "check_output"),
    ("subprocess", "getoutput"),
    ("commands", "getoutput"),
    ("pkgutil", "resolve_name"),
    ("runpy", "run_path"),
    ("runpy", "_run_code"),
    ("pip", "main"),
    ("pip._internal", "main"),
    ("pip._internal.cli.main", "main"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.f2py.crackfortran", "getlincoef"),
    ("numpy.core.multiarray", "fromfile"),
    ("numpy", "load"),
    ("importlib", "import_module"),
    ("importlib.machinery", "SourceFileLoader"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("_operator", "attrgetter"),
    ("functools", "partial"),
    ("functools", "reduce"),
    ("torch.hub", "load"),
    ("torch", "load"),
    ("torch.serialization", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch.jit.unsupported_tensor_ops", "execWrapper"),
    ("torch.utils.bottleneck.__main__", "run_cprofile"),
    ("torch.utils._config_module", "load_config"),
    ("torch._dynamo.guards", "GuardBuilder.get"),
    ("torch._inductor.codecache", "compile_file"),
    ("webbrowser", "open"),
    ("socket", "create_connection"),
    ("urllib.request", "urlopen"),
    ("httplib", "HTTPSConnection"),
    ("requests.api", "get"),
    ("aiohttp.client", "ClientSession"),
    ("shutil", "rmtree"),
    ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    ("asyncio", "create_subprocess_shell"),
    ("bdb", "Bdb.run"),
    ("pdb", "run"),
    ("code", "interact"),
    ("code", "InteractiveInterpreter.runcode"),
    ("ctypes", "CDLL"),
    ("_ctypes", "dlopen"),
    ("marshal", "loads"),
    ("types", "FunctionType"),
    ("types", "CodeType"),
    ("timeit", "timeit"),
    ("doctest", "debug_script"),
    ("idlelib.pyshell", "ModifiedInterpreter.runcode"),
    ("lib2to3.pgen2.pgen", "ParserGenerator.make_label"),
    ("lib2to3.pgen2.grammar", "Grammar.loads"),
    ("ensurepip", "_run_pip"),
    ("logging.config", "_install_loggers"),
    ("logging.config", "listen"),
    ("cProfile", "run"),
    ("profile", "run"),
    ("pickle", "loads"),
    ("_pickle", "Unpickler"),
    ("__main__", "x"),
];

/// Writes a file, opens it, and gives the message it is refused with.
#[track_caller]
fn refusal(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    let error = open(&path).err().unwrap_or_else(|| panic!("{name} was accepted"));
    assert_eq!(error.fault(), Fault::Input, "{name}: {error}");
    assert!(error.hint().is_some(), "{name}: {error}");
    let report = scan(&path).unwrap();
    assert!(!report.safe && !report.problems.is_empty(), "{name}: {report:?}");
    error.to_string()
}

#[test]
fn every_hostile_global_is_refused_by_name_and_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let canary = folder.path().join("canary");
    let command = format!("touch {}", canary.display());
    for (module, name) in HOSTILE {
        let pickles = [
            // Right away, in the form of __reduce__.
            Pickle::new().call(module, name, &[&command]).stop(),
            // By the names on the stack, as protocol 4 does.
            Pickle::protocol4().stack_global(module, name).raw(b"(").text(&command).raw(b"tR").stop(),
            // Thrown away before the real content, which is how trojans keep a model working.
            Pickle::new().call(module, name, &[&command]).raw(b"0").raw(&one_tensor()[2..]).cut(),
            // Only mentioned, not called.
            Pickle::new().raw(b"}").text("x").global(module, name).raw(b"s").stop(),
        ];
        for pickle in pickles {
            let zipped = archive(&pickle, &[("0", &[0; 16])]);
            let old = legacy(&pickle, &[]);
            // Four extensions, because none of them decides anything.
            for (file, bytes) in
                [("a.ckpt", &zipped), ("a.safetensors", &zipped), ("a.pt", &old), ("a.bin", &pickle)]
            {
                let message = refusal(folder.path(), file, bytes);
                assert!(message.contains(&format!("{module}.{name}")), "{file}: {message}");
            }
        }
    }
    assert!(!canary.exists());
}

#[test]
fn hostile_globals_are_refused_however_they_are_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let getattr = |pickle: Pickle| pickle.global("builtins", "getattr").raw(b"(");
    let cases = [
        (
            "module and name from the memo",
            {
                let named = Pickle::protocol4().text("os").raw(b"q\x00").text("system").raw(b"q\x01");
                named.raw(b"00h\x00h\x01\x93").stop()
            },
            "os.system",
        ),
        (
            "the name split over a dotted path",
            Pickle::protocol4().stack_global("os", "path.os.system").stop(),
            "os.path.os.system",
        ),
        (
            "an allowed module with another name",
            Pickle::new().global("collections", "namedtuple").stop(),
            "collections.namedtuple",
        ),
        (
            "an allowed name in another module",
            Pickle::new().global("os", "OrderedDict").stop(),
            "os.OrderedDict",
        ),
        (
            "an allowed pair cut elsewhere",
            Pickle::protocol4().stack_global("", "collections.OrderedDict").stop(),
            ".collections.OrderedDict",
        ),
        (
            "a getattr chain",
            getattr(Pickle::new()).call("builtins", "__import__", &["os"]).text("system").raw(b"tR").stop(),
            "builtins.getattr",
        ),
        (
            "a nested pickle",
            Pickle::new()
                .global("pickle", "loads")
                .raw(b"(")
                .text("cos\nsystem\n(S'x'\ntR.")
                .raw(b"tR")
                .stop(),
            "pickle.loads",
        ),
        (
            "INST, which names in line",
            Pickle::bare().raw(b"(").text("x").raw(b"ios\nsystem\n.").cut(),
            "os.system",
        ),
        (
            "a foreign class made by NEWOBJ",
            Pickle::new().global("subprocess", "Popen").raw(b")\x81").stop(),
            "subprocess.Popen",
        ),
        (
            "BUILD on a foreign object",
            Pickle::new().global("__main__", "x").raw(b")\x81}b").stop(),
            "__main__.x",
        ),
        (
            "the class of a storage",
            Pickle::new().storage("TypedStorage", "0", 4).stop(),
            "torch.TypedStorage",
        ),
        (
            "a name with escapes for the terminal",
            Pickle::new().global("os\x1b[2J", "system").stop(),
            "os\\u{1b}[2J.system",
        ),
        ("a name that is not UTF-8", Pickle::new().raw(b"c\xff\xfe\nsystem\n").stop(), ".system"),
    ];
    for (what, pickle, expected) in cases {
        for bytes in [archive(&pickle, &[("0", &[0; 16])]), legacy(&pickle, &[])] {
            let message = refusal(folder.path(), "a.ckpt", &bytes);
            assert!(message.contains(expected), "{what}: {message}");
        }
    }
}

#[test]
fn known_names_can_only_be_used_for_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let scalar = |code: &str| {
        let dtype =
            Pickle::new().global("numpy.core.multiarray", "scalar").raw(b"(").global("numpy", "dtype");
        dtype.raw(b"(").text(code).raw([0x89, 0x88]).raw(b"tR").raw(b"U\x04abcdtR").stop()
    };
    let cases = [
        (
            "a storage class called",
            Pickle::new().global("torch", "FloatStorage").raw(b")R").stop(),
            "FloatStorage cannot be made",
        ),
        (
            "a class key called",
            Pickle::new().call("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", &[]).stop(),
            "ModelCheckpoint cannot be made",
        ),
        (
            "a function as a class",
            Pickle::new().global("_codecs", "encode").raw(b")\x81").stop(),
            "encode cannot be made",
        ),
        (
            "a code page that computes",
            Pickle::new().call("_codecs", "encode", &["cos", "rot13"]).stop(),
            "bytes as latin1 text",
        ),
        (
            "text that is no latin1",
            Pickle::new().call("_codecs", "encode", &["\u{20ac}", "latin1"]).stop(),
            "bytes as latin1 text",
        ),
        ("an array of pickled objects", scalar("O8"), "numpy type \"O8\""),
        ("a record type", scalar("i4,i4"), "numpy type \"i4,i4\""),
        ("a scalar of the wrong width", scalar("f8"), "a numpy value of 8 bytes has 4"),
        (
            "text called",
            Pickle::new().text("os.system").raw(b")R").stop(),
            "text in place of a known function",
        ),
        (
            "text as a class",
            Pickle::new().text("os.system").raw(b")\x81").stop(),
            "text in place of a known class",
        ),
        (
            "a tensor rebuilt from text",
            Pickle::new().call("torch._utils", "_rebuild_tensor_v2", &["", "", "", "", "", ""]).stop(),
            "text in place of a storage",
        ),
        (
            "too few arguments",
            Pickle::new().call("torch._utils", "_rebuild_tensor_v2", &["x"]).stop(),
            "takes 6 or 7 arguments, found 1",
        ),
        (
            "a parameter of text",
            Pickle::new().call("torch._utils", "_rebuild_parameter", &["x", "y", "z"]).stop(),
            "text in place of a tensor",
        ),
        ("BUILD on a plain dictionary", Pickle::new().raw(b"}}b").stop(), "in place of an OrderedDict"),
        (
            "BUILD on a tensor",
            Pickle::new().tensor(("0", 4), 0, &[4], &[1]).raw(b"}b").stop(),
            "a tensor in place of",
        ),
        (
            "BUILD of an array by text",
            Pickle::new()
                .global("numpy.core.multiarray", "_reconstruct")
                .raw(b"(")
                .global("numpy", "ndarray")
                .text("")
                .text("")
                .raw(b"tR")
                .text("x")
                .raw(b"b")
                .stop(),
            "text in place of a tuple",
        ),
        (
            "an array made of another class",
            Pickle::new()
                .global("numpy.core.multiarray", "_reconstruct")
                .raw(b"(")
                .global("numpy", "dtype")
                .text("")
                .text("")
                .raw(b"tR")
                .stop(),
            "in place of numpy.ndarray",
        ),
        (
            "a persistent id that is no storage",
            Pickle::new().text("module").raw(b"Q").stop(),
            "text in place of a tuple",
        ),
        (
            "a persistent id of another kind",
            Pickle::new().raw(b"(").text("module").text("x").raw(b"tQ").stop(),
            "the description of a storage",
        ),
    ];
    for (what, pickle, expected) in cases {
        let message = refusal(folder.path(), "a.pt", &archive(&pickle, &[("0", &[0; 16])]));
        assert!(message.contains(expected), "{what}: {message}");
    }
}

#[test]
fn a_scan_lists_everything_a_trojan_mentions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trojan.ckpt");
    let trojan =
        Pickle::new().call("os", "system", &["true"]).raw(b"0").call("builtins", "exec", &["pass"]).raw(b"0");
    let pickle = trojan.raw(&one_tensor()[2..]).cut();
    std::fs::write(&path, archive(&pickle, &[("0", &[0; 16])])).unwrap();
    let report = scan(&path).unwrap();
    assert!(!report.safe);
    assert_eq!(
        report.globals,
        ["builtins.exec", "os.system", "torch.FloatStorage", "torch._utils._rebuild_tensor_v2"]
    );
    assert_eq!(
        report.problems,
        [
            "the global \"builtins.exec\" is not one that checkpoints consist of",
            "the global \"os.system\" is not one that checkpoints consist of",
        ]
    );
}
