//! Load for the prediction route and the yardstick beside it; `bench/predict.py` drives both.
//!
//! ```text
//! predict_load bare ANSWER_FILE                            an axum handler that takes a body and answers the file's bytes
//! predict_load load ADDRESS PATH BODY_FILE CONNECTIONS SECONDS   a closed loop on kept connections, one line of JSON out
//! ```
//!
//! The load is raw TCP: a request is one write of the same bytes, an answer is read to its `content-length`. Every answer
//! must be 200 with the same body as the first.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["bare", answer] => {
            // As many threads as a server of default settings has.
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(bare(std::fs::read(answer)?.into()))
        }
        ["load", address, path, body, connections, seconds] => {
            let request = request(address, path, &std::fs::read(body)?);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(load(address, request, connections.parse()?, seconds.parse()?))
        }
        _ => Err("usage: predict_load bare ANSWER_FILE | load ADDRESS PATH BODY_FILE CONNECTIONS SECONDS".into()),
    }
}

/// One route that reads the whole body and answers the same bytes each time.
async fn bare(answer: Bytes) -> Outcome<()> {
    let handler = move |body: Bytes| async move {
        std::hint::black_box(body);
        ([(CONTENT_TYPE, "application/json")], answer)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    axum::serve(listener, Router::new().route("/predict", post(handler))).await?;
    Ok(())
}

fn request(address: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(body);
    request
}

/// All connections until the time is up; prints requests/s and latencies in microseconds.
async fn load(address: &str, request: Vec<u8>, connections: usize, seconds: f64) -> Outcome<()> {
    let request = Bytes::from(request);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(seconds);
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        tasks.push(tokio::spawn(one_connection(stream, request.clone(), end)));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |q: f64| {
        latencies.get(((latencies.len() as f64 * q) as usize).min(latencies.len().saturating_sub(1))).map_or(0.0, |ns| *ns as f64 / 1e3)
    };
    println!(
        "{{\"requests\":{},\"per_second\":{:.1},\"p50_us\":{:.1},\"p99_us\":{:.1},\"max_us\":{:.1}}}",
        latencies.len(),
        latencies.len() as f64 / elapsed,
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

async fn one_connection(mut stream: TcpStream, request: Bytes, end: Instant) -> Outcome<Vec<u64>> {
    let (mut latencies, mut buffer, mut first) = (Vec::new(), Vec::with_capacity(1 << 16), Vec::new());
    while Instant::now() < end {
        let start = Instant::now();
        stream.write_all(&request).await?;
        buffer.clear();
        let body = answer(&mut stream, &mut buffer).await?;
        latencies.push(u64::try_from(start.elapsed().as_nanos())?);
        if first.is_empty() {
            first = body.to_vec();
        } else if first != body {
            return Err("an answer differs from the first".into());
        }
    }
    Ok(latencies)
}

/// Reads one answer and gives its body.
async fn answer<'a>(stream: &mut TcpStream, buffer: &'a mut Vec<u8>) -> Outcome<&'a [u8]> {
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the server closed the connection".into());
        }
        let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else { continue };
        let text = std::str::from_utf8(&buffer[..head])?;
        if !text.starts_with("HTTP/1.1 200") {
            return Err(format!("the answer is {text}").into());
        }
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if buffer.len() >= head + length.ok_or("an answer without content-length")? {
            return Ok(&buffer[head..]);
        }
    }
}
