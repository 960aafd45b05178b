//! Cursors of lists, against a whole server: any text is a clean 400 or a page.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, text)) = input.split_first() else { return };
    let list = ["jobs", "datasets", "models"][usize::from(choice % 3)];
    let cursor: String = text.iter().map(|byte| format!("%{byte:02X}")).collect();
    let request = format!("GET /api/v1/{list}?cursor={cursor} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let status = sparsefit_fuzz::exchange(request.as_bytes(), false);
    assert!(status.is_some(), "no answer to {request}");
});
