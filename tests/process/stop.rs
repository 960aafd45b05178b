//! Signals and exhaustion: how the process ends, and what does not end it.

use std::io::Write;

use rustix::process::Signal;

use crate::child::Served;

const UPLOAD: &str =
    "POST /api/v1/datasets?name=d HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/libsvm\r\nContent-Length: 1000\r\n\r\n1 1:1\n";

#[test]
fn two_hundred_half_open_connections_do_not_keep_the_process_from_its_end() {
    let served = Served::start("", &[]);
    let mut held = Vec::new();
    for _ in 0..100 {
        for half in ["GET /livez HTTP/1.1\r\nHost: loc", UPLOAD] {
            let mut stream = served.connect();
            stream.write_all(half.as_bytes()).expect("sends");
            held.push(stream);
        }
    }
    assert!(served.ask("GET", "/readyz", "", "").starts_with("HTTP/1.1 200"), "others are served");
    served.signal(Signal::TERM);
    let ended = served.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    drop(held);
}

#[test]
fn the_second_signal_ends_the_process_at_once() {
    let served = Served::start("", &[]);
    let mut uploading = served.connect();
    uploading.write_all(UPLOAD.as_bytes()).expect("sends");
    let dripping = std::thread::spawn(move || {
        // bytes keep coming, so the first signal alone would wait for this request
        while uploading.write_all(b" ").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    });
    assert!(served.ask("GET", "/readyz", "", "").starts_with("HTTP/1.1 200"));
    served.signal(Signal::TERM);
    while served.ask("GET", "/readyz", "", "").starts_with("HTTP/1.1 200") {}
    served.signal(Signal::TERM);
    let ended = served.ended();
    assert_eq!(ended.code, Some(1), "not by the end of what was in flight: {}", ended.log);
    dripping.join().expect("the connection is gone");
}

#[test]
fn a_process_that_may_hold_few_descriptors_survives_many_connections() {
    let served = Served::start("ulimit -n 64", &[]);
    let held: Vec<_> = (0..120)
        .map(|_| {
            let mut stream = served.connect();
            let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: loc");
            stream
        })
        .collect();
    drop(held);
    for round in 0..3 {
        let stored = served.ask("POST", &format!("/api/v1/datasets?name=d{round}"), "Content-Type: text/libsvm\r\n", "1 1:1\n0 2:1\n");
        assert!(stored.starts_with("HTTP/1.1 201"), "{stored}");
    }
    served.stop();
}
