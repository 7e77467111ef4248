//! A Hub on this machine that can misbehave.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use tronie_base::hex;

pub(super) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What was asked.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
}

impl Request {
    pub(super) fn is_file(&self) -> bool {
        self.method == "GET" && self.path.contains("/resolve/")
    }

    /// The first byte asked for.
    pub(super) fn start(&self) -> usize {
        let range =
            self.headers.get("range").map(|range| range.trim_start_matches("bytes=").trim_end_matches('-'));
        range.map_or(0, |start| start.parse().unwrap())
    }
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// The connection is closed behind so many bytes of the body.
    pub(super) cut_at: Option<usize>,
    /// A pause before each of so many bytes.
    pub(super) slow: Option<(usize, Duration)>,
}

impl Reply {
    pub(super) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

pub(super) struct Server {
    pub(super) url: String,
    pub(super) port: u16,
    pub(super) log: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub(super) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (log, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, stopped, answer) = (log.clone(), stop.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, answer) = (seen.clone(), answer.clone());
                thread::spawn(move || {
                    if let Some(request) = read(&stream) {
                        seen.lock().unwrap().push(request.clone());
                        // the other side may hang up first; that is its right
                        let _ = write(&stream, &request, &answer(&request));
                    }
                });
            }
        });
        Self { url: format!("http://127.0.0.1:{port}"), port, log, stop }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    pub(super) fn file_requests(&self) -> Vec<Request> {
        self.requests().into_iter().filter(Request::is_file).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_lowercase(), value.to_owned()))
    });
    Some(Request { method, path, headers: headers.collect() })
}

fn write(mut stream: &TcpStream, request: &Request, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", reply.status);
    let has_length =
        reply.headers.iter().any(|(name, _)| name == "content-length" || name == "transfer-encoding");
    if !has_length {
        head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let body = &reply.body[..reply.cut_at.unwrap_or(reply.body.len()).min(reply.body.len())];
    match reply.slow {
        None => stream.write_all(body),
        Some((n, pause)) => body.chunks(n).try_for_each(|chunk| {
            thread::sleep(pause);
            stream.write_all(chunk)
        }),
    }
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(super) fn git_blob(bytes: &[u8]) -> String {
    hex(&Sha1::new().chain_update(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize())
}

/// A well-behaved Hub with one repository, `org/model`. Files that end in `.safetensors` are in LFS.
#[derive(Clone)]
pub(super) struct Repo(pub(super) BTreeMap<String, Vec<u8>>);

impl Repo {
    pub(super) fn new(files: &[(&str, &[u8])]) -> Self {
        Self(files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect())
    }

    pub(super) fn siblings(&self) -> Vec<serde_json::Value> {
        let rows = self.0.iter().map(|(path, bytes)| {
            let mut row = json!({"rfilename": path, "size": bytes.len(), "blobId": git_blob(bytes)});
            if path.ends_with(".safetensors") {
                row["lfs"] = json!({"sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 134});
            }
            row
        });
        rows.collect()
    }

    pub(super) fn answer(&self, request: &Request) -> Reply {
        if request.path == "/api/models/org/model/revision/main?blobs=true" {
            let listing = json!({"id": "org/model", "sha": COMMIT, "siblings": self.siblings()});
            return Reply { body: listing.to_string().into_bytes(), ..Reply::status(200) };
        }
        let path = request.path.strip_prefix(&format!("/org/model/resolve/{COMMIT}/"));
        let Some(bytes) = path.and_then(|path| self.0.get(&path.replace("%20", " "))) else {
            return Reply::status(404);
        };
        serve(request, bytes)
    }
}

/// A file, from the byte on that is asked for.
pub(super) fn serve(request: &Request, bytes: &[u8]) -> Reply {
    let start = request.start();
    if start == 0 {
        return Reply { body: bytes.to_vec(), ..Reply::status(200) };
    }
    if start >= bytes.len() {
        return Reply::status(416).with("content-range", &format!("bytes */{}", bytes.len()));
    }
    let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
    Reply { body: bytes[start..].to_vec(), ..Reply::status(206).with("content-range", &range) }
}
