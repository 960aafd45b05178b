//! Backup under load, restore on either engine, and backups that are not whole.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sparsefit::client::Client;

use crate::house::House;
use crate::site::{Serving, badly, utf8, well};

pub(crate) async fn a_backup_taken_under_load_holds_everything_acknowledged_before(house: House) {
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backup");
    let serving = Serving::start(&house, 1);
    serving.upload("d", 0).await;
    serving.fit("d", "m", 60).await;
    let predicted = serving.predict("m").await;
    assert_eq!(predicted.0, 200);
    let (alias, json) = ("/api/v1/models/m/aliases/production", [("content-type", "application/json")]);
    let pointed = serving.client.send("PUT", alias, &json, r#"{"version":1}"#.into()).await.unwrap();
    assert_eq!(pointed.status.as_u16(), 201, "{}", pointed.text());
    let told = [serving.get(alias).await, serving.get(&format!("{alias}/history")).await];
    let running = long_job(&serving).await;

    let load = Load::start(&serving).await;
    let before = load.acknowledged_after(5).await;
    let said = well(&house, "backup", &["--to", utf8(&to)]);
    assert!(said.contains("rows"), "{said}");
    let behind = load.acknowledged_after(before.len() + 1).await;
    assert!(behind.len() > before.len(), "the server went on");
    load.stop().await;
    well(&house, "check", &["--deep", "--strict"]);
    assert!(badly(&house, "backup", &["--to", utf8(&to)]).contains("not empty"));
    serving.kill();

    let mut places = vec![House::sqlite()];
    places.extend(House::postgres().await);
    for other in places {
        well(&other, "restore", &["--from", utf8(&to)]);
        let said = well(&other, "check", &["--deep", "--strict"]);
        assert!(said.contains("jobs"), "{said}");
        let serving = Serving::start(&other, 0);
        for path in before.iter().chain([&format!("/api/v1/jobs/{running}")]) {
            serving.get(path).await;
        }
        let job = serving.get(&format!("/api/v1/jobs/{running}")).await;
        assert_eq!((&job["status"], &job["attempt"]), (&json!("queued"), &json!(0)), "it waits again, no start spent");
        assert_eq!(serving.predict("m").await, predicted, "the same bits on {:?}", other.url());
        assert_eq!([serving.get(alias).await, serving.get(&format!("{alias}/history")).await], told);
        assert!(badly(&other, "restore", &["--from", utf8(&to)]).contains("not empty"));
        // and life goes on, under numbers never given before
        serving.kill();
        let serving = Serving::start(&other, 1);
        assert_eq!(serving.upload("d", 1).await["version"], json!(2));
        serving.client.send("POST", &format!("/api/v1/jobs/{running}/cancel"), &[], Vec::new().into()).await.unwrap();
        assert_eq!(serving.fit("d", "m", 60).await["status"], json!("succeeded"));
        assert_eq!(serving.predict("m@production").await, predicted, "the alias stays where it was");
        well(&other, "check", &["--deep"]);
    }
}

/// A job that runs until it is told not to; its id, once it runs.
async fn long_job(serving: &Serving) -> String {
    let rows: Vec<Vec<f64>> =
        (0..400_usize).map(|i| (0..200_usize).map(|j| ((i * 7919 + j * 104_729 + i * j * 31) % 1009) as f64 / 500.0).collect()).collect();
    let y: Vec<f64> = rows.iter().map(|row| row.iter().sum()).collect();
    let body = json!({"format": "dense", "values": rows, "y": y});
    serving.client.post_json("/api/v1/datasets?name=big", &[], &body).await.unwrap();
    let spec = json!({"lambda": {"mode": "path", "n": 5000, "min_ratio": 1e-6}, "selection": {"method": "cv", "folds": 20},
                      "solver": {"tol": 1e-12, "max_epochs": 1_000_000}});
    let body = json!({"type": "fit", "model": "long", "dataset": {"name": "big"}, "spec": spec});
    let job = serving.client.post_json("/api/v1/jobs", &[], &body).await.unwrap().json().unwrap();
    let id = job["id"].as_str().unwrap_or_else(|| panic!("{job}")).to_owned();
    while serving.get(&format!("/api/v1/jobs/{id}")).await["status"] != json!("running") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    id
}

/// Clients that upload and submit without pause, and write down what was acknowledged.
struct Load {
    acknowledged: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    client: tokio::task::JoinHandle<()>,
}

impl Load {
    async fn start(serving: &Serving) -> Self {
        let (acknowledged, stop) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(AtomicBool::new(false)));
        let (list, ended, client) = (acknowledged.clone(), stop.clone(), Client::new(serving.client.address()));
        let client = tokio::spawn(async move {
            for round in 0.. {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let data = json!({"format": "dense", "values": [[round], [1], [2]], "y": [1, 2, 4]});
                let job = json!({"type": "fit", "model": "busy", "dataset": {"name": "busy"}, "spec": {}});
                for (path, body) in [("/api/v1/datasets?name=busy", data), ("/api/v1/jobs", job)] {
                    let answer = client.post_json(path, &[], &body).await.unwrap();
                    assert!(answer.status.is_success(), "{}", answer.text());
                    let location = answer.header("Location").unwrap().to_owned();
                    list.lock().unwrap().push(location);
                }
            }
        });
        Self { acknowledged, stop, client }
    }

    async fn acknowledged_after(&self, least: usize) -> Vec<String> {
        loop {
            let now = self.acknowledged.lock().unwrap().clone();
            if now.len() >= least {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.client.await.unwrap();
    }
}

pub(crate) async fn a_sweep_waits_for_a_backup(house: House) {
    let store = house.open().await;
    crate::house::add_dataset(&store, crate::house::P, "d", true).await;
    store.delete_dataset(crate::house::P, "d", 1).await.unwrap();
    // as somebody holds them who copies
    let holding = fs::File::create(house.data_dir().join("sweep.lock")).unwrap();
    holding.lock_shared().unwrap();
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
    assert_eq!(house.files().len(), 2, "what a backup may have seen stays");
    drop(holding);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 2);
}

/// A small store, and its backup.
async fn small_backup(place: &Path) -> House {
    let house = House::sqlite();
    let serving = Serving::start(&house, 1);
    serving.upload("d", 0).await;
    serving.fit("d", "m", 60).await;
    serving.stop().await;
    well(&house, "backup", &["--to", utf8(place)]);
    house
}

fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_cut_or_changed_is_refused_before_anything_is_written() {
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    small_backup(&backup).await;
    let files = files_below(&backup);
    assert!(files.len() > 7, "rows, files, list and seal: {files:?}");
    for path in &files {
        let whole = fs::read(path).unwrap();
        let mut damages: Vec<Option<Vec<u8>>> = vec![None, Some([&whole[..], b"\n"].concat())];
        if !whole.is_empty() {
            damages.push(Some(whole[..whole.len() - 1].to_vec()));
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 1;
            damages.push(Some(flipped));
        }
        for damage in damages {
            match &damage {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
            // a line end more or less after the seal changes nothing that it says
            let harmless =
                path.ends_with("manifest.sha256") && damage.as_ref().is_some_and(|bytes| bytes.trim_ascii_end() == whole.trim_ascii_end());
            let empty = House::sqlite();
            if !harmless {
                badly(&empty, "restore", &["--from", utf8(&backup)]);
                assert!(!empty.data_dir().exists(), "{} {damage:?}", path.display());
            }
            fs::write(path, &whole).unwrap();
        }
    }
    let list: Value = serde_json::from_slice(&fs::read(backup.join("manifest.json")).unwrap()).unwrap();
    assert_eq!((&list["rows"]["models"], &list["rows"]["jobs"]), (&json!(1), &json!(1)));
    well(&House::sqlite(), "restore", &["--from", utf8(&backup)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_stopped_store_and_of_no_store() {
    let place = tempfile::tempdir().unwrap();
    small_backup(&place.path().join("backup")).await;
    let nothing = House::sqlite();
    assert!(badly(&nothing, "backup", &["--to", utf8(&place.path().join("other"))]).contains("no store"));
    assert!(badly(&nothing, "check", &[]).contains("no store"));
    assert!(!nothing.data_dir().exists() && !place.path().join("other").exists());
}
