//! What the server says a repository holds.

use super::*;

#[test]
fn hostile_listings_never_become_paths() {
    let hash = sha256(b"x");
    let file = |path: &str| json!({"sha": COMMIT, "siblings": [{"rfilename": path, "size": 1, "lfs": {"sha256": hash, "size": 1}}]});
    let long = "a".repeat(300);
    let hostile = [
        file("../escape"),
        file("a/../../escape"),
        file("/etc/passwd"),
        file("a//b"),
        file("./a"),
        file("a/."),
        file("C:\\windows"),
        file("..\\escape"),
        file("a\u{0}b"),
        file("a\nb"),
        file("NUL"),
        file("aux.safetensors"),
        file("dot."),
        file(&long),
        file(""),
        json!({"sha": "../../escape", "siblings": []}),
        json!({"sha": "main", "siblings": []}),
        json!({"sha": COMMIT, "siblings": [{"rfilename": "a", "blobId": "../../escape"}]}),
        json!({"sha": COMMIT, "siblings": [{"rfilename": "a", "lfs": {"sha256": "/tmp/escape", "size": 1}}]}),
        json!({"sha": COMMIT}),
        json!([]),
        json!("not json at all"),
    ];
    for listing in hostile {
        let body = listing.to_string().into_bytes();
        let server = Server::start(move |_| Reply { body: body.clone(), ..Reply::status(200) });
        let home = tempfile::tempdir().unwrap();
        let error = pull(config(home.path(), &server.url)).unwrap_err();
        assert!(matches!(error, HubError::Hostile { .. }), "{listing}: {error}");
        assert!(below(home.path()).is_empty(), "{listing}");
        assert!(server.file_requests().is_empty());
    }
}

#[test]
fn hostile_headers_never_become_paths() {
    // a listing without hashes: the file's own headers are asked
    let bare = json!({"sha": COMMIT, "siblings": [{"rfilename": "m.safetensors"}]}).to_string().into_bytes();
    for (name, value) in [("x-repo-commit", "../../escape"), ("x-repo-commit", "main")] {
        let body = bare.clone();
        let server = Server::start(move |request| match request.path.starts_with("/api/") {
            true => Reply { body: body.clone(), ..Reply::status(200) },
            false => Reply::status(200).with(name, value),
        });
        let home = tempfile::tempdir().unwrap();
        let error = pull(config(home.path(), &server.url)).unwrap_err();
        assert!(matches!(error, HubError::Hostile { .. }), "{error}");
    }
}

#[test]
fn without_blobs_in_the_listing_the_headers_of_the_file_are_used() {
    let weights = big(100);
    let hash = sha256(&weights);
    let quoted = format!("\"{hash}\"");
    // (headers of the answer to HEAD, the name of the blob)
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("x-linked-etag", &quoted), ("x-linked-size", "800"), ("etag", "\"other\"")], &hash),
        (&[("etag", &quoted)], &hash),
        // no etag, or one that is no hash: the blob is named by what arrived
        (&[], &hash),
        (&[("etag", "\"../../escape\"")], &hash),
    ];
    for (headers, blob) in cases {
        let listing =
            json!({"sha": COMMIT, "siblings": [{"rfilename": "m.safetensors"}]}).to_string().into_bytes();
        let owned: Vec<(String, String)> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let server = twisted(Repo::new(&[("m.safetensors", &weights)]), move |request, reply, _| {
            if request.path.starts_with("/api/") {
                return Reply { body: listing.clone(), ..Reply::status(200) };
            }
            let mut reply = reply;
            reply.headers.extend(owned.clone());
            reply
        });
        let home = tempfile::tempdir().unwrap();
        let snapshot = pull(config(home.path(), &server.url)).unwrap();
        assert_eq!(fs::read(snapshot.join("m.safetensors")).unwrap(), weights);
        assert_eq!(below(&home.path().join("models--org--model/blobs")), [blob]);
    }
}
