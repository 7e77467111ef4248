mod listings;
mod server;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;
use tronie_base::{Cancelled, Fault, Faulty, Silent};

use super::*;
use server::{COMMIT, Reply, Repo, Request, Server, git_blob, serve, sha256};

fn config(cache: &Path, endpoint: &str) -> HubConfig {
    HubConfig {
        endpoint: endpoint.to_owned(),
        silence: Duration::from_millis(400),
        pause: Duration::from_millis(1),
        ..HubConfig::new(cache.to_owned())
    }
}

fn repo_id() -> RepoId {
    "org/model".parse().unwrap()
}

fn pull(config: HubConfig) -> Result<PathBuf, HubError> {
    pull_with(config, &mut Silent)
}

fn pull_with(config: HubConfig, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
    let request = Pull { repo: &repo_id(), revision: "main", wanted: &|_| true };
    Hub::new(config)?.pull(request, progress)
}

/// Bytes without a period, so that no wrong piece passes for the right one.
fn big(n: usize) -> Vec<u8> {
    (0..n as u64).flat_map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

/// A server of `repo` whose answers `twist` may change; it is told how many file requests came before.
fn twisted(repo: Repo, twist: impl Fn(&Request, Reply, usize) -> Reply + Send + Sync + 'static) -> Server {
    let n_files = AtomicUsize::new(0);
    Server::start(move |request| {
        let before = if request.is_file() { n_files.fetch_add(1, Ordering::SeqCst) } else { 0 };
        twist(request, repo.answer(request), before)
    })
}

fn plain(repo: Repo) -> Server {
    twisted(repo, |_, reply, _| reply)
}

fn below(folder: &Path) -> Vec<String> {
    cache::files(folder)
}

#[test]
fn a_pulled_revision_has_the_hubs_own_layout() {
    let (config_json, weights) = (b"{}".as_slice(), big(100));
    let repo = Repo::new(&[
        ("unet/config.json", config_json),
        ("a model.safetensors", &weights),
        ("readme.md", b"no"),
    ]);
    let server = plain(repo);
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::new(config(home.path(), &server.url)).unwrap();
    let request = Pull { repo: &repo_id(), revision: "main", wanted: &|path| !path.ends_with(".md") };
    let snapshot = hub.pull(request, &mut Silent).unwrap();
    let root = home.path().join("models--org--model");
    assert_eq!(snapshot, root.join("snapshots").join(COMMIT));
    assert_eq!(below(&snapshot), ["a model.safetensors", "unet/config.json"]);
    assert_eq!(fs::read(snapshot.join("a model.safetensors")).unwrap(), weights);
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    let mut blobs = [sha256(&weights), git_blob(config_json)];
    blobs.sort();
    assert_eq!(below(&root.join("blobs")), blobs);
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(snapshot.join("unet/config.json")).unwrap(),
        Path::new("../../../blobs").join(git_blob(config_json))
    );
    assert_eq!(hub.find(&repo_id(), "main").unwrap(), Some(snapshot.clone()));
    assert_eq!(hub.find(&repo_id(), COMMIT).unwrap(), Some(snapshot));
    assert_eq!(hub.find(&repo_id(), "other").unwrap(), None);

    let n_before = server.file_requests().len();
    hub.pull(request, &mut Silent).unwrap();
    assert_eq!(server.file_requests().len(), n_before, "what is there is not fetched again");
}

#[test]
fn git_blob_ids_are_those_of_git() {
    // printf 'hello\n' | git hash-object --stdin
    assert_eq!(git_blob(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
}

#[test]
fn offline_uses_the_cache_and_opens_no_connection() {
    let home = tempfile::tempdir().unwrap();
    let server = plain(Repo::new(&[("config.json", b"{}")]));
    let offline = HubConfig { offline: true, ..config(home.path(), &server.url) };
    let error = pull(offline.clone()).unwrap_err();
    assert_eq!(error.to_string(), "org/model at main is not in the cache, and tronie is offline");
    assert!(server.requests().is_empty());
    let snapshot = pull(config(home.path(), &server.url)).unwrap();
    let n_requests = server.requests().len();
    assert_eq!(pull(offline).unwrap(), snapshot);
    assert_eq!(server.requests().len(), n_requests);
}

#[test]
fn the_token_goes_to_the_endpoint_and_never_along_a_redirect() {
    let weights = big(10);
    let copy = weights.clone();
    let elsewhere = Server::start(move |request| serve(request, &copy));
    let target = format!("{}/signed?X-Amz-Signature=secret", elsewhere.url);
    let server = twisted(Repo::new(&[("m.safetensors", &weights)]), move |request, reply, _| {
        if request.is_file() { Reply::status(302).with("location", &target) } else { reply }
    });
    let home = tempfile::tempdir().unwrap();
    let with_token = HubConfig { token: Token::new(" hf_secret\n"), ..config(home.path(), &server.url) };
    let snapshot = pull(with_token).unwrap();
    assert_eq!(fs::read(snapshot.join("m.safetensors")).unwrap(), weights);
    assert!(server.requests().iter().all(|request| request.headers["authorization"] == "Bearer hf_secret"));
    assert_eq!(elsewhere.requests().len(), 1);
    assert!(!elsewhere.requests()[0].headers.contains_key("authorization"));
}

#[test]
fn a_token_is_never_printed() {
    let token = Token::new("hf_secret");
    assert_eq!(format!("{token:?}"), "Some(Token(...))");
    assert_eq!(Token::new(" \n"), None);
}

#[test]
fn a_redirect_on_the_same_host_keeps_the_token() {
    let weights = big(10);
    let copy = weights.clone();
    let server =
        twisted(Repo::new(&[("m.safetensors", &weights)]), move |request, reply, _| match &request.path {
            path if path.starts_with("/api/resolve-cache/") => serve(request, &copy),
            _ if request.is_file() => Reply::status(307).with("location", "/api/resolve-cache/m"),
            _ => reply,
        });
    let home = tempfile::tempdir().unwrap();
    let with_token = HubConfig { token: Token::new(" hf_secret\n"), ..config(home.path(), &server.url) };
    pull(with_token).unwrap();
    assert_eq!(server.requests().last().unwrap().headers["authorization"], "Bearer hf_secret");
}

#[test]
fn redirects_that_lead_nowhere_are_refused() {
    for (to, why) in [
        ("file:///etc/passwd", "is no address"),
        ("ftp://example.org/m", "is no http address"),
        ("", "is no address"),
        ("/org/model/resolve/again", "is one redirect too many"),
    ] {
        let server = twisted(Repo::new(&[("m.safetensors", b"x")]), move |request, reply, _| {
            if request.is_file() { Reply::status(302).with("location", to) } else { reply }
        });
        let home = tempfile::tempdir().unwrap();
        let error = pull(config(home.path(), &server.url)).unwrap_err();
        assert!(matches!(&error, HubError::Redirect { why: found, .. } if *found == why), "{error}");
    }
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let weights = big(40_000);
    let server =
        twisted(Repo::new(&[("m.safetensors", &weights)]), |request, reply, n_before| match n_before {
            0..3 if request.is_file() => Reply { cut_at: Some(90_000), ..reply },
            _ => reply,
        });
    let home = tempfile::tempdir().unwrap();
    let snapshot = pull(config(home.path(), &server.url)).unwrap();
    assert_eq!(fs::read(snapshot.join("m.safetensors")).unwrap(), weights);
    let starts: Vec<usize> = server.file_requests().iter().map(Request::start).collect();
    assert_eq!(starts, [0, 90_000, 180_000, 270_000]);
}

#[test]
fn a_killed_download_goes_on_in_the_next_run() {
    let weights = big(1000);
    for (left, start) in [(0, 0), (1, 1), (5000, 5000), (7999, 7999), (8000, 8000), (9000, 0)] {
        let home = tempfile::tempdir().unwrap();
        let blobs = home.path().join("models--org--model/blobs");
        fs::create_dir_all(&blobs).unwrap();
        let mut bytes = weights.clone();
        bytes.resize(left, 7);
        fs::write(blobs.join(format!("{}.incomplete", sha256(&weights))), bytes).unwrap();
        let server = plain(Repo::new(&[("m.safetensors", &weights)]));
        let snapshot = pull(config(home.path(), &server.url)).unwrap();
        assert_eq!(fs::read(snapshot.join("m.safetensors")).unwrap(), weights, "{left}");
        let starts: Vec<usize> = server.file_requests().iter().map(Request::start).collect();
        let expected = if left == 8000 { vec![] } else { vec![start] };
        assert_eq!(starts, expected, "{left}");
        assert_eq!(below(&blobs), [sha256(&weights)]);
    }
}

#[test]
fn a_server_without_ranges_is_read_from_the_start() {
    let weights = big(1000);
    let home = tempfile::tempdir().unwrap();
    let blobs = home.path().join("models--org--model/blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{}.incomplete", sha256(&weights))), &weights[..100]).unwrap();
    let copy = weights.clone();
    let server = twisted(Repo::new(&[("m.safetensors", &weights)]), move |request, reply, _| {
        match request.is_file() {
            true => Reply { body: copy.clone(), ..Reply::status(200) },
            false => reply,
        }
    });
    let snapshot = pull(config(home.path(), &server.url)).unwrap();
    assert_eq!(fs::read(snapshot.join("m.safetensors")).unwrap(), weights);
}

#[test]
fn a_beginning_the_server_does_not_know_is_fetched_anew() {
    // what is left is longer than the file now is, and the listing has no sizes: 416
    let weights = big(10);
    let home = tempfile::tempdir().unwrap();
    let blobs = home.path().join("models--org--model/blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{}.incomplete", sha256(&weights))), big(20)).unwrap();
    let lfs = json!({"sha256": sha256(&weights)});
    let listing = json!({"sha": COMMIT, "siblings": [{"rfilename": "m.safetensors", "lfs": lfs}]});
    let server = twisted(Repo::new(&[("m.safetensors", &weights)]), move |request, reply, _| {
        if request.path.starts_with("/api/") {
            return Reply { body: listing.to_string().into_bytes(), ..Reply::status(200) };
        }
        reply
    });
    let snapshot = pull(config(home.path(), &server.url)).unwrap();
    assert_eq!(fs::read(snapshot.join("m.safetensors")).unwrap(), weights);
}

#[test]
fn bytes_with_another_hash_are_refused_and_removed() {
    for (path, right) in [("m.safetensors", sha256(b"right")), ("config.json", git_blob(b"right"))] {
        let server = twisted(Repo::new(&[(path, b"right")]), |request, reply, _| match request.is_file() {
            true => Reply { body: b"wrong".to_vec(), ..reply },
            false => reply,
        });
        let home = tempfile::tempdir().unwrap();
        let error = pull(config(home.path(), &server.url)).unwrap_err();
        let HubError::Hash { file, expected, found } = &error else { panic!("{error}") };
        assert_eq!((file.as_str(), expected), (path, &right));
        assert_ne!(expected, found);
        assert!(
            below(&home.path().join("models--org--model")).is_empty(),
            "nothing is shown, nothing is left"
        );
    }
}

#[test]
fn more_bytes_than_announced_are_not_written() {
    let server =
        twisted(Repo::new(&[("m.safetensors", b"right")]), |request, reply, _| match request.is_file() {
            true => Reply { body: vec![0; 100_000], ..reply },
            false => reply,
        });
    let home = tempfile::tempdir().unwrap();
    let error = pull(config(home.path(), &server.url)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server sent \"m.safetensors (5 bytes)\" as more bytes than it announced for a file"
    );
}

#[test]
fn refusals_say_what_to_do() {
    let cases = [
        (401, None, Fault::Environment, "set HF_TOKEN"),
        (403, None, Fault::Environment, "set HF_TOKEN"),
        (403, Token::new("hf_x"), Fault::Environment, "accept the terms"),
        (404, None, Fault::Input, "compare the name"),
        (500, None, Fault::Environment, "run it again"),
        (429, None, Fault::Environment, "patience"),
    ];
    for (status, token, fault, hint) in cases {
        let server = Server::start(move |_| Reply::status(status));
        let home = tempfile::tempdir().unwrap();
        let error = pull(HubConfig { token, n_retries: 2, ..config(home.path(), &server.url) });
        let error = error.unwrap_err();
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert_eq!(error.fault(), fault);
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        // only what may pass is tried again
        assert_eq!(server.requests().len(), if status >= 429 { 3 } else { 1 }, "{status}");
    }
}

#[test]
fn a_server_that_recovers_is_forgiven() {
    let server = twisted(Repo::new(&[("config.json", b"{}")]), |request, reply, n_before| {
        if request.is_file() && n_before < 2 { Reply::status(503) } else { reply }
    });
    let home = tempfile::tempdir().unwrap();
    assert!(pull(config(home.path(), &server.url)).is_ok());
}

#[test]
fn silence_ends_and_slowness_does_not() {
    let weights = big(10);
    // 80 bytes, ten at a time: longer than the silence allowed in all, shorter between any two
    let slow = twisted(Repo::new(&[("m.safetensors", &weights)]), |request, reply, _| Reply {
        slow: request.is_file().then_some((10, Duration::from_millis(100))),
        ..reply
    });
    let home = tempfile::tempdir().unwrap();
    assert!(pull(config(home.path(), &slow.url)).is_ok());

    let silent = twisted(Repo::new(&[("m.safetensors", &weights)]), |request, reply, _| Reply {
        slow: request.is_file().then_some((10, Duration::from_secs(60))),
        ..reply
    });
    let home = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let error = pull(HubConfig { n_retries: 1, ..config(home.path(), &silent.url) });
    assert!(matches!(error, Err(HubError::Network { .. })), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn no_connection_is_a_network_error() {
    let home = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = pull(config(home.path(), &format!("http://127.0.0.1:{port}"))).unwrap_err();
    assert!(matches!(error, HubError::Network { .. }), "{error}");
    assert_eq!(error.fault(), Fault::Environment);
}

/// Cancels after so many bytes.
struct Impatient(u64);

impl Progress for Impatient {
    fn begin(&mut self, _stage: &str, _total: u64) {}
    fn advance(&mut self, n: u64) {
        self.0 = self.0.saturating_sub(n);
    }
    fn note(&mut self, _message: &str) {}
    fn check(&self) -> Result<(), Cancelled> {
        if self.0 == 0 { Err(Cancelled) } else { Ok(()) }
    }
}

#[test]
fn cancelling_keeps_what_was_fetched() {
    let weights = big(1_000_000); // eight chunks
    let server = plain(Repo::new(&[("m.safetensors", &weights)]));
    let home = tempfile::tempdir().unwrap();
    let error = pull_with(config(home.path(), &server.url), &mut Impatient(2_000_000)).unwrap_err();
    assert_eq!(error.fault(), Fault::Interrupted);
    let partial = home.path().join(format!("models--org--model/blobs/{}.incomplete", sha256(&weights)));
    let kept = fs::metadata(partial).unwrap().len();
    assert!(kept >= 1_900_000, "{kept}");
    pull(config(home.path(), &server.url)).unwrap();
    assert_eq!(server.file_requests().last().unwrap().start() as u64, kept);
}

#[test]
fn two_at_once_fetch_a_file_once() {
    let weights = big(1000);
    let server = Arc::new(twisted(Repo::new(&[("m.safetensors", &weights)]), |request, reply, _| Reply {
        slow: request.is_file().then_some((2000, Duration::from_millis(50))),
        ..reply
    }));
    let home = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| pull(config(home.path(), &server.url)).unwrap());
        }
    });
    assert_eq!(server.file_requests().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_to_be_full() {
    // /dev/full takes the place of the partial file and has no room
    let weights = big(1000);
    let home = tempfile::tempdir().unwrap();
    let blobs = home.path().join("models--org--model/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let partial = blobs.join(format!("{}.incomplete", sha256(&weights)));
    std::os::unix::fs::symlink("/dev/full", partial).unwrap();
    let server = plain(Repo::new(&[("m.safetensors", &weights)]));
    let error = pull(config(home.path(), &server.url)).unwrap_err();
    assert!(matches!(error, HubError::Cache { .. }), "{error}");
    assert_eq!(error.hint().unwrap(), "free some disk space and run it again: what has been fetched is kept");
}

#[test]
fn names_of_repositories_and_revisions_are_checked() {
    for good in ["org/model", "gpt2", "stable-diffusion-v1-5/stable-diffusion-v1-5", "a/b.c_d-e"] {
        assert_eq!(good.parse::<RepoId>().unwrap().to_string(), good);
    }
    for bad in
        ["", "/", "a/", "/b", "a/b/c", "../x", "a/..", "a--b/c", "a b/c", ".a/b", "-a/b", "a\\b", "a/b?c"]
    {
        assert!(matches!(bad.parse::<RepoId>(), Err(HubError::Repo { .. })), "{bad}");
    }
    for good in ["main", "v1.0", "refs/pr/1", COMMIT] {
        assert!(Revision::new(good).is_ok(), "{good}");
    }
    for bad in ["", "..", "a/../b", "/main", "main/", "a\\b", "a\nb", "a:b"] {
        assert!(matches!(Revision::new(bad), Err(HubError::Revision { .. })), "{bad}");
    }
}

#[test]
fn the_cache_is_where_the_hubs_own_tools_look() {
    let path = |text: &'static str| Some(Path::new(text));
    let cases = [
        (path("/c"), path("/h"), path("/home/u"), Some("/c")),
        (None, path("/h"), path("/home/u"), Some("/h/hub")),
        (path(""), None, path("/home/u"), Some("/home/u/.cache/huggingface/hub")),
        (None, None, None, None),
    ];
    for (cache, hf_home, home, expected) in cases {
        assert_eq!(HubConfig::cache_folder(cache, hf_home, home), expected.map(PathBuf::from));
    }
}
