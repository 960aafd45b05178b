//! Does the time it takes to refuse a key tell why it was refused? Welch's t-test over two kinds of wrong keys, taken in
//! random turns: the id is unknown, and the id is known but the secret is not. |t| below 4.5 tells nothing.
//!
//! `cargo run --release --example key_timing`

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use sparsefit::access::{Keyring, Presented, Token};
use sparsefit::ambient::Ambient;
use sparsefit::id::Id;

const EACH: usize = 50_000;

/// Mean and variance, one value at a time (Welford).
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    sum: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let off = value - self.mean;
        self.mean += off / self.count;
        self.sum += off * (value - self.mean);
    }

    fn error(&self) -> f64 {
        self.sum / (self.count - 1.0) / self.count
    }
}

fn main() -> std::io::Result<()> {
    let ambient = Ambient::system();
    let minted: Vec<_> = (0..256).map(|_| Token::mint(&ambient)).collect();
    let stored: Keyring<usize> = minted.iter().enumerate().map(|(number, (_, token))| (token.digest(), number)).collect();
    // As many of the one kind as of the other, and each as often: a processor learns what it is shown again, and what
    // reading the digits of an id costs is told to whoever sent them.
    let ids = |minted: &[(Id, Token)]| minted.iter().map(|(id, _)| id.as_str().replace("key_", "sk_")).collect::<Vec<_>>();
    let unknown: Vec<_> = (0..minted.len()).map(|_| Token::mint(&ambient)).collect();
    let ids = [ids(&unknown), ids(&minted)];
    let mut kinds = [Moments::default(), Moments::default()];
    let mut turn = [0u8; 2];
    while kinds.iter().any(|kind| kind.count < EACH as f64) {
        let (_, token) = Token::mint(&ambient);
        ambient.random.fill(&mut turn);
        let which = usize::from(turn[0] & 1);
        let id = &ids[which][usize::from(turn[1]) % minted.len()];
        let text = format!("{id}{}", &token.reveal()[id.len()..]);
        let since = Instant::now();
        let found = black_box(stored.find(&Presented::read(black_box(&text))));
        let took = since.elapsed().as_nanos() as f64;
        assert!(found.is_none(), "a wrong key was taken");
        // What the machine did meanwhile is no property of the key.
        if took < 100_000.0 {
            kinds[which].add(took);
        }
    }
    let [unknown, wrong] = kinds;
    let t = (unknown.mean - wrong.mean) / (unknown.error() + wrong.error()).sqrt();
    writeln!(std::io::stdout(), "unknown id {:.1} ns, wrong secret {:.1} ns, t = {t:.2}", unknown.mean, wrong.mean)
}
