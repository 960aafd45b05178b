//! The program in a process of its own, and the plainest of clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Nothing here takes this long; what does has failed. Never part of what is asserted.
const LONGEST: Duration = Duration::from_secs(60);

/// A running `sparsefit serve`; killed when dropped.
pub(crate) struct Served {
    child: Child,
    log: Option<JoinHandle<String>>,
    pub(crate) addr: SocketAddr,
    pub(crate) data_dir: PathBuf,
    _dir: TempDir,
}

/// How a process ended.
pub(crate) struct Ended {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
}

impl Served {
    /// Starts a server; `before` are shell words run before it in the same process.
    pub(crate) fn start(before: &str, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(dir, before, arguments)
    }

    /// Starts a server whose data directory is `data` in this directory.
    pub(crate) fn start_in(dir: TempDir, before: &str, arguments: &[&str]) -> Self {
        let data_dir = dir.path().join("data");
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("{before}\nexec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_sparsefit"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = child.stderr.take().expect("piped");
        let log = Some(std::thread::spawn(move || {
            let mut text = Vec::new();
            BufReader::new(stderr).read_to_end(&mut text).expect("the log can be read");
            String::from_utf8(text).expect("the log is UTF-8")
        }));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let addr = line.trim().strip_prefix("listening on http://").expect("says where it listens").parse().expect("an address");
        Self { child, log, addr, data_dir, _dir: dir }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("connects");
        stream.set_read_timeout(Some(LONGEST)).expect("a socket");
        stream
    }

    /// Sends bytes as they are, and reads until the server closes.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // the server may answer and close before it has read everything
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        self.raw(
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                .as_bytes(),
        )
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a process id")).expect("a process id");
        kill_process(pid, signal).expect("the process is there");
    }

    /// Waits for the end of the process.
    pub(crate) fn ended(mut self) -> Ended {
        let since = Instant::now();
        while self.child.try_wait().expect("a child of ours").is_none() {
            assert!(since.elapsed() < LONGEST, "the process ends");
            std::thread::sleep(Duration::from_millis(10));
        }
        let code = self.child.wait().expect("a child of ours").code();
        Ended { code, log: self.log.take().expect("not yet taken").join().expect("the log was read") }
    }

    /// Stops the server in the ordinary way; answers its log.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let ended = self.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        ended.log
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end; answers what it wrote to stderr.
pub(crate) fn refused(arguments: &[&str], data_dir: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sparsefit"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data_dir)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    assert!(!output.status.success(), "it did start");
    String::from_utf8(output.stderr).expect("UTF-8")
}
