//! What the targets share: an upload as the server does it, and a whole server to send bytes to.
//!
//! A target fails by a panic, by an answer of 500, or by passing libFuzzer's bounds of time and memory.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Parser;
use sparsefit::config::Config;
use sparsefit::dataset::{self, Dataset, Encoding, Format, IngestError, IngestLimits, Names, Upload, ingest};

/// Small enough that a limit is met often, and no input can take long.
pub const LIMITS: IngestLimits = IngestLimits {
    decoded_bytes: 1 << 20,
    rows: 10_000,
    nnz: 100_000,
    index_max: (1 << 31) - 1,
    line_bytes: 1 << 16,
    number_bytes: 64,
    sort_memory_bytes: 1 << 16,
    room_bytes: u64::MAX,
};

/// Ingests a body; what is accepted must open again and be what was counted.
pub fn upload(body: &[u8], format: Format, encoding: Encoding) -> Option<Dataset> {
    let place = tempfile::tempdir().expect("a directory");
    let (data_path, names_path, scratch) = (place.path().join("data"), place.path().join("names"), place.path().join("scratch"));
    let create = |path| File::options().read(true).write(true).create_new(true).open(path).expect("a file");
    let (data, names) = (create(&data_path), create(&names_path));
    std::fs::create_dir(&scratch).expect("a directory");
    let upload = Upload { format, encoding, target_kind: None, limits: LIMITS };
    let ingested = match ingest(body, &upload, &data, &names, &scratch) {
        Ok(ingested) => ingested,
        Err(IngestError::Fault(fault)) => {
            assert!(!fault.detail.is_empty());
            return None;
        }
        Err(IngestError::Io(error)) => panic!("{error}"),
    };
    assert!(ingested.meta.shape[0] > 0);
    let names = ingested.names_sha256.map(|sha256| Arc::new(Names::open(&names_path, &sha256).expect("names can be opened")));
    let opened = dataset::open(&data_path, names, Arc::new(ingested.meta), true).expect("what was stored can be opened");
    assert!(opened.y.iter().all(|y| y.is_finite()));
    Some(opened)
}

/// The address of a server that lives as long as the process.
pub fn server() -> SocketAddr {
    static SERVER: OnceLock<SocketAddr> = OnceLock::new();
    *SERVER.get_or_init(|| {
        // the fuzzer's own `main` leaves the signal as it is, where Rust's would ignore it
        // SAFETY: no handler is set, and nobody else in this process sets one for this signal
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let data = tempfile::tempdir().expect("a directory");
                let words = ["server", "--listen", "127.0.0.1:0", "--workers", "0", "--data-dir"];
                let words = words.into_iter().map(Into::into).chain([data.path().as_os_str().to_owned()]);
                let Words { config } = Words::parse_from(words);
                let server = sparsefit::serve::Server::start(&config, Default::default(), sparsefit::ambient::Ambient::system()).await;
                let server = server.expect("a server");
                tell.send(server.addr).expect("somebody waits");
                std::future::pending::<()>().await;
            });
        });
        told.recv().expect("the server starts")
    })
}

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    config: Config,
}

/// Sends bytes to the server on a connection of their own and returns the status of its first answer, if there is one. `cut` says
/// that nothing more will come: what is not a whole request is given up at once, and so may be one that is.
pub fn exchange(bytes: &[u8], cut: bool) -> Option<u16> {
    let mut connection = TcpStream::connect(server()).expect("the server listens");
    connection.set_read_timeout(Some(Duration::from_secs(if cut { 1 } else { 10 }))).expect("a timeout");
    // the server may have closed already, having seen enough
    let _ = connection.write_all(bytes);
    if cut {
        let _ = connection.shutdown(std::net::Shutdown::Write);
    }
    let mut answer = [0; 64];
    let read = loop {
        match connection.read(&mut answer) {
            Ok(read) => break read,
            // the fuzzer's own alarm
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // what the server did not want to read resets the connection
            Err(_) if cut => break 0,
            Err(error) => panic!("no answer: {error}"),
        }
    };
    let text = std::str::from_utf8(&answer[..read]).ok()?;
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    assert!(status < 500 || status == 503, "{text}");
    Some(status)
}
