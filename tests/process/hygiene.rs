//! What the process keeps from others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::child::Served;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o777
}

/// Every file and directory below, with itself.
fn below(path: &Path) -> Vec<std::path::PathBuf> {
    let mut all = vec![path.to_owned()];
    if path.is_dir() {
        all.extend(fs::read_dir(path).expect("can be read").flat_map(|entry| below(&entry.expect("an entry").path())));
    }
    all
}

#[test]
fn what_is_stored_is_its_users_alone_also_in_a_directory_that_was_open_before() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data_dir = dir.path().join("data");
    fs::create_dir(&data_dir).expect("made");
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o755)).expect("changed");
    let served = Served::start_in(dir, "umask 000", &[]);
    let stored = served.ask("POST", "/api/v1/datasets?name=d", "Content-Type: text/libsvm\r\n", "1 1:1\n0 2:1\n");
    assert!(stored.starts_with("HTTP/1.1 201"), "{stored}");
    let everything = below(&served.data_dir);
    assert!(everything.len() > 5, "{everything:?}");
    for path in everything {
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
    let log = served.stop();
    assert!(log.contains("others could reach the data directory"), "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_leaves_no_core_dump_and_may_hold_as_many_descriptors_as_allowed() {
    let served = Served::start("ulimit -c unlimited 2>/dev/null\nulimit -S -n 64", &[]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", served.pid())).expect("can be read");
    let line = |name: &str| -> Vec<String> {
        let line = limits.lines().find(|line| line.starts_with(name)).expect("a limit").trim_start_matches(name);
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(&line("Max core file size")[..2], ["0", "0"]);
    let files = line("Max open files");
    assert!(files[0] != "64" || files[1] == "64", "raised as far as it goes: {files:?}");
    served.stop();
}
