//! Bits that rot: whichever stored file a bit falls over in, nobody ever gets an answer made from it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::house::House;
use crate::site::Serving;

const FLIPS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_an_error_and_never_an_answer() {
    let house = House::sqlite();
    // each of the two hundred would be an error in the log
    let serving = Serving::start_saying(&house, 1, "off");
    serving.upload("sound", 0).await;
    let mut dice = 0x2545_f491_4f6c_dd1d;
    let mut flips = 0;
    while flips < FLIPS {
        // a data file, a names file and a model, each with one bit of its own
        for (magic, name) in [(&b"SPFDATA1"[..], "data"), (&b"SPFNAME1"[..], "names")] {
            let name = format!("{name}{flips}");
            let new = made(&house, serving.upload(&name, flips + 1)).await;
            flip(with_magic(&new, magic), &mut dice);
            refuses_to_fit(&serving, &name).await;
            flips += 1;
        }
        let name = format!("model{flips}");
        let new = made(&house, serving.fit("sound", &name, 60)).await;
        flip(with_magic(&new, b"SPFMODEL"), &mut dice);
        let (status, text) = serving.predict(&name).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &answer["code"]), (500, &json!("artifact_corrupt")), "{text}");
        flips += 1;
    }
    assert_eq!(serving.fit("sound", "after", 60).await["status"], json!("succeeded"), "everybody else is served");
    assert_eq!(serving.predict("after").await.0, 200);
}

/// A fit on a damaged data set is refused, or fails, with the same word.
async fn refuses_to_fit(serving: &Serving, dataset: &str) {
    let body = json!({"type": "fit", "model": "never", "dataset": {"name": dataset}, "spec": {"lambda": {"mode": "value", "value": 0.05}}});
    let answer = serving.client.post_json("/api/v1/jobs", &[("Prefer", "wait=60")], &body).await.unwrap();
    let told = answer.json().unwrap();
    let code = if answer.status.as_u16() == 500 { &told["code"] } else { &told["error"]["code"] };
    assert_eq!(code, &json!("artifact_corrupt"), "{told}");
    assert_eq!(serving.predict("never").await.0, 404, "no model came of it");
}

/// The files that came with something done.
async fn made(house: &House, done: impl Future<Output = Value>) -> Vec<PathBuf> {
    let before: BTreeSet<String> = house.files().into_iter().collect();
    done.await;
    let new = house.files().into_iter().filter(|file| !before.contains(file));
    new.map(|file| house.data_dir().join("blobs").join(file)).collect()
}

fn with_magic<'a>(files: &'a [PathBuf], magic: &[u8]) -> &'a Path {
    let found = files.iter().find(|file| fs::read(file).unwrap().starts_with(magic));
    found.unwrap_or_else(|| panic!("no file begins with {:?}", String::from_utf8_lossy(magic)))
}

/// Turns one bit over, at a place that follows from the dice.
fn flip(path: &Path, dice: &mut u64) {
    *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let mut bytes = fs::read(path).unwrap();
    let bit = usize::try_from(*dice >> 33).unwrap() % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, bytes).unwrap();
}
