//! Heads of requests, against a whole server: bytes before routing. The first byte chooses how much of a head is given.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    let mut request: Vec<u8> = match choice % 4 {
        0 => Vec::new(),
        1 => b"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n".to_vec(),
        2 => b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n".to_vec(),
        _ => b"POST /api/v1/datasets?name=d HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/libsvm\r\n".to_vec(),
    };
    request.extend_from_slice(bytes);
    request.extend_from_slice(b"\r\n\r\n{}");
    sparsefit_fuzz::exchange(&request, true);
});
